//! The program as its users meet it: the real binary, real workers, real sockets.
