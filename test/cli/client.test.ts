/** What the commands' client makes of a connection that it uses again. */
import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call } from '../../src/cli/client.ts';

let server: Server;
let url: string;
const sockets = new Set<Socket>();
beforeAll(async () => {
  server = createServer((req, res) => {
    sockets.add(req.socket);
    if (req.url === '/gone') req.socket.destroy();
    else res.end('{}');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

describe('a connection that is used again', () => {
  const ask = (path: string) => call({ url, token: undefined }, 'GET', path);

  it('gathers no listeners, however often it is asked', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on('warning', onWarning);
    for (let i = 0; i < 15; i += 1) expect((await ask('/')).status).toBe(200);
    // A warning is told in the next turn.
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', onWarning);
    expect(sockets.size).toBe(1);
    expect(warnings).toEqual([]);
  });

  it('may have carried the request of which there is no answer', async () => {
    await ask('/');
    await expect(ask('/gone')).rejects.toMatchObject({ name: 'ClientError', isUncertain: true });
  });
});
