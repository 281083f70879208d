//! A client of HTTP/2 that keeps to the rules, by the h2 library.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use hyper::{HeaderMap, Request, Response, StatusCode};
use std::future::poll_fn;
use std::net::TcpStream;
use tokio::runtime::Runtime;

/// A connection, with the runtime that moves it whenever something is asked of it.
pub(crate) struct Polite {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) interim: Vec<Response<()>>,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Polite {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        stream.set_nonblocking(true).expect("a socket can");
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream).expect("it is not blocking");
            let (sender, connection) = h2::client::Builder::new()
                // Room for answers that a test reads later.
                .initial_window_size(1 << 20)
                .initial_connection_window_size(1 << 24)
                .handshake(stream)
                .await
                .expect("the proxy speaks HTTP/2");
            tokio::spawn(async move {
                // How it ends, the requests are told.
                let _ = connection.await;
            });
            sender.ready().await.expect("it goes on")
        });
        Self { runtime, sender }
    }

    /// Carries out something that moves the connection.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A request without a body.
    pub(crate) fn ask(&mut self, method: &str, path: &str) -> Told {
        self.ask_with(method, path, &[], None).expect("an answer")
    }

    /// A request with fields and perhaps a body with trailers.
    pub(crate) fn ask_with(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<(&[u8], HeaderMap)>,
    ) -> Result<Told, h2::Error> {
        let (answer, mut send) = self.begin(method, path, fields, body.is_none());
        self.runtime.block_on(async {
            if let Some((body, trailers)) = body {
                send.send_data(Bytes::copy_from_slice(body), trailers.is_empty())?;
                if !trailers.is_empty() {
                    send.send_trailers(trailers)?;
                }
            }
            tell(answer).await
        })
    }

    /// The head of a request.
    pub(crate) fn begin(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        is_whole: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut request = Request::builder().method(method).uri(format!("http://test{path}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.send(request.body(()).expect("a good head"), is_whole)
    }

    pub(crate) fn send(
        &mut self,
        request: Request<()>,
        is_whole: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        self.runtime.block_on(async {
            self.sender = self.sender.clone().ready().await.expect("it goes on");
            self.sender.send_request(request, is_whole).expect("a good head")
        })
    }
}

/// Reads an answer to its end, with those before it.
pub(crate) async fn tell(mut answer: ResponseFuture) -> Result<Told, h2::Error> {
    let mut interim = Vec::new();
    while let Some(one) = poll_fn(|cx| answer.poll_informational(cx)).await.transpose()? {
        interim.push(one);
    }
    let (head, mut stream) = answer.await?.into_parts();
    let body = read(&mut stream).await?;
    let trailers = stream.trailers().await?;
    Ok(Told { interim, status: head.status, headers: head.headers, body, trailers })
}

/// Reads data to their end.
pub(crate) async fn read(stream: &mut RecvStream) -> Result<String, h2::Error> {
    let mut body = Vec::new();
    while let Some(bytes) = stream.data().await.transpose()? {
        stream.flow_control().release_capacity(bytes.len())?;
        body.extend(&bytes);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}
