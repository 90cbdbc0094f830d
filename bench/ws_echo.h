#ifndef WS_ECHO_H
#define WS_ECHO_H

// Echo server on 127.0.0.1:port (0 picks one; printed as JSON); returns only when it cannot listen.
int serve_echo(int port);

#endif
