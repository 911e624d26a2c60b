/** The wall: node:http reading the same request and answering a constant of the same size. Baseline of every ratio. */
import { createServer } from 'node:http';

const ANSWER = JSON.stringify({
  decision: true,
  context: {
    reason: 'permitted',
    id: 'dec_AAAAAAAAAAAAAAAA1',
    position: '1764000000-1004',
    policy: `sha256:${'0'.repeat(64)}`,
    freshForMs: 2410,
    policyReason: 'scope',
  },
});

const server = createServer((req, res) => {
  req.on('data', () => undefined);
  req.on('end', () => {
    res.writeHead(200, {
      'cache-control': 'no-store',
      'content-type': 'application/json',
      'content-length': ANSWER.length,
    });
    res.end(ANSWER);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(JSON.stringify({ port: typeof address === 'object' ? address?.port : 0 }));
});
