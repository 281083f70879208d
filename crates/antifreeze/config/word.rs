//! The values of single settings: types that cannot be out of range, read alike from flags, environment and YAML.
//!
//! Each reads itself from text (`FromStr`), and its error is a sentence with the allowed range or forms, ready to
//! follow a flag or a key path. YAML scalars are read as they are written, whatever a YAML schema makes of them: `off`,
//! `1.10` and `010` keep their characters.

use crate::units;
use ipnet::IpNet;
use logs::{AccessTarget, Filter, Format, FormatError};
use policy::Isolation;
use proxy::{
    Disclosure, Host, HostError, HttpsPort, HttpsPortError, OpenApi, OpenApiError, Pattern, PatternError,
    Prefix, PrefixError, ProxyProtocol, RescueScope,
};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::time::Duration;
use supervisor::{Probe, ProbeError, Protocol};

/// A duration from `MIN` to `MAX` milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time<const MIN: u64, const MAX: u64>(pub(crate) Duration);

impl<const MIN: u64, const MAX: u64> FromStr for Time<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = units::duration(text)?;
        let (min, max) = (Duration::from_millis(MIN), Duration::from_millis(MAX));
        in_range(text, &time, &min, &max, |time| units::show_duration(*time))?;
        Ok(Self(time))
    }
}

/// From `MIN` to `MAX` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<const MIN: u64, const MAX: u64> FromStr for Size<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = units::size(text)?;
        in_range(text, &bytes, &MIN, &MAX, |bytes| units::show_size(*bytes))?;
        Ok(Self(bytes))
    }
}

/// A whole number from `MIN` to `MAX`, as a `T` that can hold all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number<T, const MIN: u64, const MAX: u64>(pub(crate) T);

impl<T: FromStr, const MIN: u64, const MAX: u64> FromStr for Number<T, MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a whole number from {MIN} to {MAX}");
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        // Digits that u64 cannot hold are out of range too.
        let number = text.parse().unwrap_or(u64::MAX);
        in_range(text, &number, &MIN, &MAX, u64::to_string)?;
        text.parse().map(Self).map_err(|_| wrong())
    }
}

fn in_range<V: PartialOrd>(
    text: &str,
    value: &V,
    min: &V,
    max: &V,
    show: impl Fn(&V) -> String,
) -> Result<(), String> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(format!("'{text}' is out of range: from {} to {}", show(min), show(max)))
}

/// A value, or `auto`: let antifreeze choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auto<T> {
    /// `auto`.
    Auto,
    /// This one.
    Is(T),
}

impl<T: FromStr<Err = String>> FromStr for Auto<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            value => value.parse().map(Self::Is).map_err(|error| format!("{error}, or auto")),
        }
    }
}

/// A limit, or `off`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit<T> {
    /// `off`.
    Off,
    /// This much.
    At(T),
}

impl<T> Limit<T> {
    /// The limit, if there is one.
    pub(crate) fn map<V>(self, limit: impl FnOnce(T) -> V) -> Option<V> {
        match self {
            Self::Off => None,
            Self::At(value) => Some(limit(value)),
        }
    }
}

impl<T: FromStr<Err = String>> FromStr for Limit<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            value => value.parse().map(Self::At).map_err(|error| format!("{error}, or off")),
        }
    }
}

/// How many workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workers(pub(crate) Auto<Number<NonZeroU16, 1, 512>>);

impl FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question(pub(crate) Probe);

impl FromStr for Question {
    type Err = ProbeError;

    fn from_str(text: &str) -> Result<Self, ProbeError> {
        text.parse().map(Self)
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogFormat(pub(crate) Format);

impl FromStr for LogFormat {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        text.parse().map(Self)
    }
}

/// Which of our own lines are printed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Level(pub(crate) Filter);

impl FromStr for Level {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        text.parse().map(Self)
    }
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) AccessTarget);

impl FromStr for Place {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        text.parse().map(Self)
    }
}

/// A network in CIDR form, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network(pub(crate) IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let single = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| single()).map(Self).map_err(|_| {
            format!("'{text}' is not a network; write 10.0.0.0/8, 192.168.1.7, fd00::/8, or several of them")
        })
    }
}

/// A path template of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(pub(crate) Pattern);

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: PatternError| error.to_string())
    }
}

/// A setting that is one of a few words.
pub(crate) trait Choice: Copy + PartialEq + 'static {
    /// The words and what they mean, in the order in which they are told.
    const WORDS: &'static [(&'static str, Self)];
}

fn parse_choice<C: Choice>(text: &str) -> Result<C, String> {
    let found = C::WORDS.iter().find(|(word, _)| *word == text);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<&str> = C::WORDS.iter().map(|(word, _)| *word).collect();
        match words[..] {
            [one, other] => format!("'{text}' is neither {one} nor {other}"),
            [ref others @ .., last] => format!("'{text}' is none of {} and {last}", others.join(", ")),
            [] => format!("'{text}' is not allowed"),
        }
    })
}

/// The word for a choice.
pub(crate) fn show_choice<C: Choice>(choice: C) -> String {
    C::WORDS.iter().find(|(_, known)| *known == choice).map(|(word, _)| *word).unwrap_or_default().to_owned()
}

/// What workers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Speaking(pub(crate) Protocol);

impl Choice for Protocol {
    const WORDS: &'static [(&'static str, Self)] = &[("http1", Self::Http1), ("h2c", Self::H2c)];
}

impl FromStr for Speaking {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_choice(text).map(Self)
    }
}

/// Whether routes are kept from taking every worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Isolating(pub(crate) Isolation);

impl Choice for Isolation {
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Self::Auto), ("off", Self::Off)];
}

impl FromStr for Isolating {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_choice(text).map(Self)
    }
}

/// Which requests may be sent to a second worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rescuing(pub(crate) RescueScope);

impl Choice for RescueScope {
    const WORDS: &'static [(&'static str, Self)] =
        &[("safe", Self::Safe), ("idempotent", Self::Idempotent), ("off", Self::Off)];
}

impl FromStr for Rescuing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_choice(text).map(Self)
    }
}

/// What answers say of their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disclosing(pub(crate) Disclosure);

impl Choice for Disclosure {
    const WORDS: &'static [(&'static str, Self)] =
        &[("reason", Self::Reason), ("timing", Self::Timing), ("off", Self::Off)];
}

impl FromStr for Disclosing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_choice(text).map(Self)
    }
}

/// Whether connections begin with a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxyHeader(pub(crate) ProxyProtocol);

impl Choice for ProxyProtocol {
    const WORDS: &'static [(&'static str, Self)] = &[("off", Self::Off), ("required", Self::Required)];
}

impl FromStr for ProxyHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_choice(text).map(Self)
    }
}

/// Where HTTP/2 is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Http2Mode {
    /// Inside TLS.
    #[default]
    Auto,
    On,
    Off,
}

impl Choice for Http2Mode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("on", Self::On), ("off", Self::Off)];
}

impl FromStr for Http2Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_choice(text)
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TlsVersion(pub(crate) tls::Version);

impl FromStr for TlsVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1.2" => Ok(Self(tls::Version::Tls12)),
            "1.3" => Ok(Self(tls::Version::Tls13)),
            _ => Err(format!("'{text}' is not a version of TLS that is spoken; write 1.2 or 1.3")),
        }
    }
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuthMode {
    Off,
    Optional,
    Required,
}

impl FromStr for ClientAuthMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            _ => Err(format!("'{text}' is none of off, optional and required")),
        }
    }
}

/// Where a listener sends its clients, if that is what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Redirection(pub(crate) Option<HttpsPort>);

impl FromStr for Redirection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            place => place
                .parse()
                .map(|port| Self(Some(port)))
                .map_err(|error: HttpsPortError| format!("{error}, or off")),
        }
    }
}

/// The path of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlPath(pub(crate) String);

impl FromStr for UrlPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?');
        fits.then(|| Self(text.to_owned()))
            .ok_or_else(|| format!("'{text}' is no path; write one that starts with /, for example /healthz"))
    }
}

/// The hosts of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteHost(pub(crate) Host);

impl FromStr for RouteHost {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        text.parse().map(Self)
    }
}

/// The paths of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoutePath(pub(crate) Prefix);

impl FromStr for RoutePath {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        text.parse().map(Self)
    }
}

/// Where the app describes its routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description(pub(crate) OpenApi);

impl FromStr for Description {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: OpenApiError| error.to_string())
    }
}

/// Text that can be handed to a process: an argument, the value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl FromStr for Text {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.contains('\0') {
            true => Err("it holds a NUL byte, which no process can be given; remove it".to_owned()),
            false => Ok(Self(text.to_owned())),
        }
    }
}

/// The name of a variable of the environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VariableName(pub(crate) String);

impl FromStr for VariableName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.is_empty() || text.contains(['=', '\0']) {
            true => Err(format!("'{text}' cannot be the name of a variable; write NAME, and no = in it")),
            false => Ok(Self(text.to_owned())),
        }
    }
}

/// `NAME=VALUE`, or `NAME` alone: not this variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) name: VariableName,
    pub(crate) value: Option<String>,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.parse::<Text>()?.0)),
            None => (text, None),
        };
        Ok(Self { name: name.parse()?, value })
    }
}

/// The name of a pool: part of log lines, metric labels and a folder's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolName(pub(crate) String);

impl FromStr for PoolName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = (1..=LONGEST_NAME).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "'{text}' cannot be the name of a pool; write 1 to {LONGEST_NAME} letters, digits, - and _"
            )),
        }
    }
}

const LONGEST_NAME: usize = 32;

/// Reads one YAML scalar by its characters; `expected` is for the error about a mapping or a sequence.
///
/// # Errors
/// What `T` objects to; serde_yaml adds the line and the key path.
pub(crate) fn scalar<'de, D, T>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: Display,
{
    struct Scalar<T>(&'static str, PhantomData<T>);

    impl<T> Visitor<'_> for Scalar<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Scalar(expected, PhantomData))
}

macro_rules! read_from_yaml_scalars {
    ($([$($generics:tt)*] $type:ty, $expected:literal;)*) => {$(
        impl<'de, $($generics)*> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                scalar(deserializer, $expected)
            }
        }
    )*};
}

read_from_yaml_scalars! {
    [const MIN: u64, const MAX: u64] Time<MIN, MAX>, "a duration, for example 10s";
    [const MIN: u64, const MAX: u64] Size<MIN, MAX>, "a size, for example 64KiB";
    [T: FromStr, const MIN: u64, const MAX: u64] Number<T, MIN, MAX>, "a whole number";
    [T: FromStr<Err = String>] Auto<T>, "one value, or auto";
    [T: FromStr<Err = String>] Limit<T>, "one value, or off";
    [] Workers, "a whole number or auto (a range of workers comes with a later version)";
    [] Question, "a method and a target, for example OPTIONS *";
    [] LogFormat, "auto, text or json";
    [] Level, "a level, for example info";
    [] Place, "off, -, stderr, or the path of a file";
    [] Network, "a network, for example 10.0.0.0/8";
    [] RouteHost, "a host, for example api.example.com";
    [] RoutePath, "how a path begins, for example /v1";
    [] Template, "a path pattern, for example /users/{id}";
    [] Description, "a path, for example /openapi.json, or off";
    [] Speaking, "http1 or h2c";
    [] Isolating, "auto or off";
    [] Rescuing, "safe, idempotent or off";
    [] Disclosing, "reason, timing or off";
    [] ProxyHeader, "off or required";
    [] Http2Mode, "auto, on or off";
    [] TlsVersion, "a version of TLS, 1.2 or 1.3";
    [] ClientAuthMode, "off, optional or required";
    [] Redirection, "off, https, or https and a port";
    [] UrlPath, "a path, for example /healthz";
    [] Text, "text";
    [] VariableName, "the name of a variable";
    [] PoolName, "the name of a pool";
}
