//! A client's connection as HTTP sees it.

use supervisor::Stream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// Plain on the left, inside TLS on the right. To shut down the right one tells the client first that what it has is all
/// (`close_notify`, RFC 8446 section 6.1).
pub(crate) type ClientStream = Either<Stream, Box<TlsStream<Stream>>>;

/// The socket of a connection, below TLS.
pub(crate) fn socket(stream: &ClientStream) -> &Stream {
    match stream {
        Either::Left(stream) => stream,
        Either::Right(stream) => stream.get_ref().0,
    }
}
