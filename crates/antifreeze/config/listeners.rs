//! What each listener is for: the keys of the file, under the flags, which speak of every listener that does not redirect.

use super::origins::{Fault, Key};
use super::raw::{self, File, Flags};
use super::word::{ClientAuthMode, Http2Mode, ProxyHeader};
use proxy::{Endpoint, HttpsPort, Listener, Role};
use tls::{ClientAuth, Identity, Options, Pair, Protocols};

/// The listeners of the flags, or of the file, or the one of the defaults.
///
/// # Errors
/// The first one whose settings do not go together.
pub(super) fn resolve(
    flags: &Flags,
    file: &File,
    default: Vec<Listener<Options>>,
) -> Result<Vec<Listener<Options>>, Fault> {
    let given: Vec<Given> = match &file.listeners {
        _ if !flags.listen.is_empty() => flags.listen.iter().cloned().map(Given::at).collect(),
        Some(listeners) => listeners.iter().map(Given::from).collect(),
        None => default.into_iter().map(|listener| Given::at(listener.endpoint)).collect(),
    };
    let numbered = given.into_iter().enumerate();
    numbered
        .map(|(number, given)| {
            let role = role(number, &given, flags)?;
            let proxy_protocol = flags.proxy_protocol.or(given.proxy_protocol);
            let proxy_protocol = proxy_protocol.map(|header| header.0).unwrap_or_default();
            Ok(Listener { endpoint: given.endpoint, proxy_protocol, role })
        })
        .collect()
}

/// What the file says of one listener.
struct Given<'a> {
    endpoint: Endpoint,
    tls: Option<&'a raw::Tls>,
    redirect: Option<HttpsPort>,
    http2: Option<Http2Mode>,
    proxy_protocol: Option<ProxyHeader>,
}

impl Given<'_> {
    /// Of a listener that the file does not know.
    fn at(endpoint: Endpoint) -> Self {
        Self { endpoint, tls: None, redirect: None, http2: None, proxy_protocol: None }
    }
}

impl<'a> From<&'a raw::Listener> for Given<'a> {
    fn from(listener: &'a raw::Listener) -> Self {
        Self {
            endpoint: listener.address.clone(),
            tls: listener.tls.as_ref().and_then(|raw::TlsSection(tls)| tls.as_ref()),
            redirect: listener.redirect.and_then(|redirect| redirect.0),
            http2: listener.http2,
            proxy_protocol: listener.proxy_protocol,
        }
    }
}

fn role(number: usize, given: &Given<'_>, flags: &Flags) -> Result<Role<Options>, Fault> {
    let fault = |key: &str, words: &str| {
        Fault::new(Key::of_program(&format!("listeners[{number}].{key}")), words.to_owned())
    };
    let Given { tls, redirect, http2, .. } = *given;
    if let Some(port) = redirect {
        let no_tls =
            "a listener that redirects to https has no TLS of its own; remove one of redirect and tls";
        let no_http2 =
            "a listener that redirects to https speaks HTTP/1.1 alone; remove one of redirect and http2";
        return match (tls, http2) {
            (Some(_), _) => Err(fault("redirect", no_tls)),
            (None, Some(Http2Mode::On)) => Err(fault("redirect", no_http2)),
            (None, Some(Http2Mode::Auto | Http2Mode::Off) | None) => Ok(Role::Redirect(port)),
        };
    }
    let http2 = flags.http2.or(http2).unwrap_or_default();
    let flags = &flags.tls;
    if tls.is_none() && flags.is_empty() {
        return Ok(Role::Http(match http2 {
            Http2Mode::On => Protocols::Http2AndHttp1,
            Http2Mode::Auto | Http2Mode::Off => Protocols::Http1,
        }));
    }
    let protocols = match http2 {
        Http2Mode::On | Http2Mode::Auto => Protocols::Http2AndHttp1,
        Http2Mode::Off => Protocols::Http1,
    };
    let nothing = raw::Tls::default();
    let file = tls.unwrap_or(&nothing);
    let words = "no certificate; write certificates: [{ chain: FILE, key: FILE }] or --tls-cert FILE --tls-key FILE, \
                 or for development tls: self_signed or --tls-self-signed";
    let asked = match flags {
        _ if tls.is_some() => "tls",
        raw::Tls { min_version: Some(_), .. } => "tls.min_version",
        raw::Tls { client_ca: Some(_), .. } => "tls.client_ca",
        _ => "tls.client_auth",
    };
    let identity =
        identity_of_flags(flags)?.or_else(|| identity_of_file(file)).ok_or_else(|| fault(asked, words))?;
    let authorities = flags.client_ca.as_ref().or(file.client_ca.as_ref());
    let client_auth = match (flags.client_auth.or(file.client_auth), authorities) {
        (None, None) | (Some(ClientAuthMode::Off), _) => ClientAuth::Off,
        (Some(ClientAuthMode::Optional), Some(path)) => ClientAuth::Optional(path.clone()),
        // Whoever names the authorities wants them to matter.
        (None | Some(ClientAuthMode::Required), Some(path)) => ClientAuth::Required(path.clone()),
        (Some(ClientAuthMode::Optional | ClientAuthMode::Required), None) => {
            let words = "nobody is named who signs clients' certificates; add client_ca: FILE";
            return Err(fault("tls.client_auth", words));
        }
    };
    let min_version = flags.min_version.or(file.min_version).map(|version| version.0).unwrap_or_default();
    Ok(Role::Https(Options { identity, min_version, client_auth, protocols }))
}

fn identity_of_file(file: &raw::Tls) -> Option<Identity> {
    let pair = |pair: &raw::Certificate| Pair { chain: pair.chain.clone(), key: pair.key.clone() };
    match (file.self_signed, file.certificates.is_empty()) {
        (true, _) => Some(Identity::SelfSigned),
        (false, false) => Some(Identity::Files(file.certificates.iter().map(pair).collect())),
        (false, true) => None,
    }
}

fn identity_of_flags(flags: &raw::Tls) -> Result<Option<Identity>, Fault> {
    let raw::Tls { chains, keys, self_signed, .. } = flags;
    let fault =
        |key: &str, words: String| Fault::new(Key::of_program(&format!("listeners[0].tls{key}")), words);
    match (chains.len(), keys.len()) {
        (0, 0) => Ok(self_signed.then_some(Identity::SelfSigned)),
        _ if *self_signed => Err(fault(
            "",
            "a certificate was given by --tls-cert or --tls-key too; keep one of them".to_owned(),
        )),
        (some, others) if some == others => {
            let pairs = chains.iter().zip(keys);
            let pairs = pairs.map(|(chain, key)| Pair { chain: chain.clone(), key: key.clone() });
            Ok(Some(Identity::Files(pairs.collect())))
        }
        (some, others) => {
            let key = if some > 0 { ".certificates[0].chain" } else { ".certificates[0].key" };
            let words =
                format!("certificates: {some}, keys: {others}; give one --tls-key for each --tls-cert");
            Err(fault(key, words))
        }
    }
}

/// The listeners' settings that have flags, by their ids, each for all listeners.
pub(super) fn rows(listeners: &[Listener<Options>]) -> Vec<(&'static str, String)> {
    let options: Vec<&Options> = listeners
        .iter()
        .filter_map(|listener| match &listener.role {
            Role::Https(options) => Some(options),
            Role::Http(_) | Role::Redirect(_) => None,
        })
        .collect();
    let pairs: Vec<&Pair> = options
        .iter()
        .filter_map(|options| match &options.identity {
            Identity::Files(pairs) => Some(pairs),
            Identity::SelfSigned => None,
        })
        .flatten()
        .collect();
    let each = |show: &dyn Fn(&Options) -> String| {
        let mut words: Vec<String> = options.iter().map(|options| show(options)).collect();
        words.dedup();
        words.join(", ")
    };
    let or = |words: String, otherwise: &str| if words.is_empty() { otherwise.to_owned() } else { words };
    let identity = |options: &Options| match options.identity {
        Identity::SelfSigned => "self_signed".to_owned(),
        Identity::Files(_) => "certificates".to_owned(),
    };
    let client_auth = |options: &Options| match options.client_auth {
        ClientAuth::Off => "off".to_owned(),
        ClientAuth::Optional(_) => "optional".to_owned(),
        ClientAuth::Required(_) => "required".to_owned(),
    };
    let mut http2: Vec<&str> = listeners
        .iter()
        .filter_map(|listener| match &listener.role {
            Role::Http(protocols) => Some(*protocols),
            Role::Https(options) => Some(options.protocols),
            Role::Redirect(_) => None,
        })
        .map(|protocols| if protocols == Protocols::Http1 { "off" } else { "on" })
        .collect();
    http2.dedup();
    let http2 = http2.join(", ");
    let authorities =
        options.iter().filter_map(|options| options.client_auth.authorities()).map(|path| path.display());
    let version = |options: &Options| options.min_version.to_string();
    let mut headers: Vec<_> = listeners.iter().map(|listener| listener.proxy_protocol).collect();
    headers.dedup();
    vec![
        ("listeners", super::settings::join(listeners)),
        ("listeners[0].proxy_protocol", super::settings::join(headers)),
        ("listeners[0].http2", or(http2, "off")),
        ("listeners[0].tls", or(each(&identity), "off")),
        (
            "listeners[0].tls.certificates[0].chain",
            super::settings::join(pairs.iter().map(|pair| pair.chain.display())),
        ),
        (
            "listeners[0].tls.certificates[0].key",
            super::settings::join(pairs.iter().map(|pair| pair.key.display())),
        ),
        ("listeners[0].tls.min_version", or(each(&version), &tls::Version::default().to_string())),
        ("listeners[0].tls.client_ca", super::settings::join(authorities)),
        ("listeners[0].tls.client_auth", or(each(&client_auth), "off")),
    ]
}
