"""`predict` over HTTP: rows, trials against both servers, and their section of RESULTS.md."""
