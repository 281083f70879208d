//! What each listener is for: the keys of the file, under the flags, which speak of every listener that does not redirect.

use super::origins::{Fault, Key};
use super::raw::{self, File, Flags};
use super::word::{ClientAuthMode, ProxyHeader};
use proxy::{Endpoint, HttpsPort, Listener, Role};
use tls::{ClientAuth, Identity, Options, Pair};

/// The listeners of the flags, or of the file, or the one of the defaults.
///
/// # Errors
/// The first one whose settings do not go together.
pub(super) fn resolve(
    flags: &Flags,
    file: &File,
    default: Vec<Listener<Options>>,
) -> Result<Vec<Listener<Options>>, Fault> {
    let plain = |endpoint: Endpoint| Given { endpoint, tls: None, redirect: None, proxy_protocol: None };
    let given: Vec<Given<'_>> = match &file.listeners {
        _ if !flags.listen.is_empty() => flags.listen.iter().cloned().map(plain).collect(),
        Some(listeners) => listeners.iter().map(parts).collect(),
        None => default.into_iter().map(|listener| plain(listener.endpoint)).collect(),
    };
    let numbered = given.into_iter().enumerate();
    numbered
        .map(|(number, Given { endpoint, tls, redirect, proxy_protocol })| {
            let role = role(number, tls, redirect, &flags.tls)?;
            let proxy_protocol = flags.proxy_protocol.or(proxy_protocol);
            let proxy_protocol = proxy_protocol.map(|header| header.0).unwrap_or_default();
            Ok(Listener { endpoint, proxy_protocol, role })
        })
        .collect()
}

/// What the file says of a listener.
struct Given<'a> {
    endpoint: Endpoint,
    tls: Option<&'a raw::Tls>,
    redirect: Option<HttpsPort>,
    proxy_protocol: Option<ProxyHeader>,
}

fn parts(listener: &raw::Listener) -> Given<'_> {
    Given {
        endpoint: listener.address.clone(),
        tls: listener.tls.as_ref().and_then(|raw::TlsSection(tls)| tls.as_ref()),
        redirect: listener.redirect.and_then(|redirect| redirect.0),
        proxy_protocol: listener.proxy_protocol,
    }
}

fn role(
    number: usize,
    tls: Option<&raw::Tls>,
    redirect: Option<HttpsPort>,
    flags: &raw::Tls,
) -> Result<Role<Options>, Fault> {
    let fault = |key: &str, words: &str| {
        Fault::new(Key::of_program(&format!("listeners[{number}].{key}")), words.to_owned())
    };
    if let Some(port) = redirect {
        let words =
            "a listener that redirects to https has no TLS of its own; remove one of redirect and tls";
        return if tls.is_some() { Err(fault("redirect", words)) } else { Ok(Role::Redirect(port)) };
    }
    if tls.is_none() && flags.is_empty() {
        return Ok(Role::Http);
    }
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
    Ok(Role::Https(Options { identity, min_version, client_auth }))
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
            Role::Http | Role::Redirect(_) => None,
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
    let authorities =
        options.iter().filter_map(|options| options.client_auth.authorities()).map(|path| path.display());
    let version = |options: &Options| options.min_version.to_string();
    let mut headers: Vec<_> = listeners.iter().map(|listener| listener.proxy_protocol).collect();
    headers.dedup();
    vec![
        ("listeners", super::settings::join(listeners)),
        ("listeners[0].proxy_protocol", super::settings::join(headers)),
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
