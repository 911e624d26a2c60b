/** What `writ drill` says of its probes. */
import { once } from 'node:events';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { givenCanary } from '../../src/cli/canary.ts';
import { Probing } from '../../src/cli/drill-probe.ts';

it('is in the order in which they were named, whoever answers first', async () => {
  const { promise: secondAnswered, resolve } = Promise.withResolvers<void>();
  const slow = await serve(secondAnswered);
  const fast = await serve(Promise.resolve(), resolve);
  try {
    const canary = givenCanary(`e30.${Buffer.from('{"sub":"u","iss":"i"}').toString('base64url')}.x`);
    if (canary === undefined) throw new Error('no canary');
    const urls = [slow, fast].map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const probes = await new Probing(canary, urls, { action: 'read', resource: 'drill:canary' }).after();
    expect(probes.map(({ url, after }) => [url, after])).toEqual(urls.map((url) => [url, 'revoked']));
  } finally {
    for (const server of [slow, fast]) server.close();
  }
});

/** Answers once `after` is there; `answered` is told of each answer that went out. */
async function serve(after: Promise<void>, answered: () => void = () => undefined): Promise<Server> {
  const text = JSON.stringify({ decision: false, context: { reason: 'revoked' } });
  const server = createServer((req, res) => {
    req.resume().once('end', () => {
      void after.then(() => res.writeHead(200, { 'content-type': 'application/json' }).end(text, answered));
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}
