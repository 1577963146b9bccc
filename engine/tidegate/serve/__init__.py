"""serve: the processes. A supervisor owns the listening sockets and watches; workers carry the calls."""
