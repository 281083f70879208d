//! Which route a request is of: the operator's patterns, the app's document, the shape of paths. The first line of the input
//! holds patterns, the next is a document of OpenAPI, and the others are paths.

#![no_main]

use http::{Method, Uri};
use libfuzzer_sys::fuzz_target;
use proxy::fuzzing::{Routes, is_ambiguous, shape};
use proxy::{Pattern, Routing};

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let (patterns, document) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let patterns = String::from_utf8_lossy(patterns);
    let patterns: Vec<Pattern> = patterns.split(' ').filter_map(|text| text.parse().ok()).collect();
    for pattern in &patterns {
        let text = pattern.to_string();
        assert_eq!(text.parse::<Pattern>().as_ref(), Ok(pattern), "{text} does not read as it is written");
        assert!(text.starts_with('/') && !is_ambiguous(&text), "{text} is no path");
    }
    let mut routes = Routes::new(&Routing { patterns, ..Routing::default() }, document);
    for path in lines.next().unwrap_or_default().split(|byte| *byte == b'\n') {
        // As requests carry them.
        let Ok(target) = Uri::try_from(path) else { continue };
        let path = target.path();
        if !path.starts_with('/') {
            continue;
        }
        let route = routes.find(&Method::GET, path);
        assert_eq!(routes.find(&Method::GET, path), route, "{path} is of one route, and then of another");
        assert_eq!(routes.find(&Method::HEAD, path), route, "HEAD is GET without the body");
        let name = routes.name(route);
        assert!(name.len() <= LONGEST_NAME, "{name}");
        let template = shape(path);
        assert!(template.starts_with('/') && template.len() <= path.len().max(1) * 4, "{template}");
        assert_eq!(shape(&template), template, "what stands for a value looks like one");
        if is_ambiguous(path) {
            let other = routes.find(&Method::GET, "/a//b");
            assert_eq!(route, other, "{path} has a route of its own, whatever servers make of it");
        }
        assert!(routes.named() < 1024, "names without end");
    }
});

const LONGEST_NAME: usize = 1100;
