// Package world is the internet of the tests: the servers that a pod reaches
// outside its cluster, on addresses that are routed nowhere else.
//
// [Serve] runs them all in the calling process's network namespace, on every
// address of it:
//
//   - port 53, UDP and TCP: a name server that answers for [Names] and for
//     nothing else;
//   - port 80: HTTP, which at [CAPath] is the certificate of the test CA, and
//     else is httpbin (/anything, /delay/N, /get, /headers, /ip, /status/N) for
//     httpbin.org, as for any host whose first label is httpbin, and what a site
//     answers for the others;
//   - port 443: HTTPS for every name, HTTP/1.1 and HTTP/2, with a certificate
//     of the name's own issued by the test CA; a client that sends another
//     name, or none, gets no connection;
//   - ports 8080 and 8443: HTTP and HTTPS, too;
//   - port 9000: TCP where the client speaks first: each line comes back after
//     the word "hello";
//   - port 9001: TCP where the server speaks first: it sends [Banner], then
//     gives back what it gets.
//
// Names have addresses out of [Prefixes], which RFC 5737 and RFC 3849 keep for
// documentation. Whoever runs the internet routes the prefixes to it.
//
// Each request is one line of the log, so that a test can check what arrived,
// from whom:
//
//	http from=10.244.0.7:41210 to=203.0.113.10:80 host=httpbin.org method=GET path=/headers status=200
package world
