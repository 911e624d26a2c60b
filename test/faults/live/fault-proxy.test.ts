/** The proxy of the live runs, in front of a server that answers each request with its number. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../support/scene.ts';
import type { Fate } from './fault-proxy.ts';
import { FaultProxy } from './fault-proxy.ts';
import { Frames, callOf } from './frames.ts';

const request = (name: string): string => `*2\r\n$5\r\nFCALL\r\n$${name.length}\r\n${name}\r\n`;
const reply = (number: number): string => `*2\r\n:${number}\r\n$2\r\nok\r\n`;

let dir: string;
let server: Server;
let proxy: FaultProxy;
let client: Socket;
let asked: string[];
let received: string;
let isOver: boolean;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'writ-proxy-'));
  asked = [];
  server = createServer((socket) => {
    const frames = new Frames();
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      for (const one of frames.push(chunk as Buffer)) socket.write(reply(asked.push(callOf(one))));
    });
  });
  server.listen(join(dir, 'server.sock'));
  await once(server, 'listening');
  proxy = await FaultProxy.open(
    () => join(dir, 'server.sock'),
    () => 0.5,
  );
  client = await open();
});
afterEach(async () => {
  client.destroy();
  proxy.close();
  server.close();
  await rm(dir, { recursive: true });
});

async function open(): Promise<Socket> {
  const { hostname, port } = new URL(proxy.url);
  const socket = connect(Number(port), hostname);
  [received, isOver] = ['', false];
  socket.setEncoding('latin1').on('data', (text: string) => (received += text));
  socket.on('error', () => undefined).on('close', () => (isOver = true));
  await once(socket, 'connect');
  return socket;
}

const untilReceived = (text: string): Promise<string> =>
  eventually(
    () => Promise.resolve(received),
    (all) => all.includes(text),
  );

const untilOver = (): Promise<boolean> =>
  eventually(
    () => Promise.resolve(isOver),
    (over) => over,
  );

describe('messages', () => {
  const messages = [
    '+OK\r\n',
    ':1\r\n',
    '$-1\r\n',
    '$4\r\n\r\n\r\n\r\n',
    '*0\r\n',
    '*-1\r\n',
    request('a'),
    reply(7),
  ];

  it('are found whole, in whatever pieces they come', () => {
    const bytes = Buffer.from(messages.join(''));
    for (let size = 1; size <= bytes.length; size++) {
      const frames = new Frames();
      const found: string[] = [];
      for (let from = 0; from < bytes.length; from += size)
        found.push(...frames.push(bytes.subarray(from, from + size)).map((one) => one.toString()));
      expect(found).toEqual(messages);
    }
  });

  it('say which function is called, or which command', () => {
    expect(callOf(Buffer.from(request('writ1_renew')))).toBe('writ1_renew');
    expect(callOf(Buffer.from('*1\r\n$4\r\nping\r\n'))).toBe('PING');
  });
});

describe('the fault proxy', () => {
  it('holds either direction, and lets go on what it held, in its order', async () => {
    proxy.hold('up');
    client.write(request('one'));
    client.write(request('two'));
    const other = await open();
    expect(asked).toEqual([]);
    proxy.release();
    await eventually(
      () => Promise.resolve(asked),
      (all) => all.length === 2,
    );
    expect(asked).toEqual(['one', 'two']);
    other.destroy();
  });

  it('lets the server do what its caller gave up before the link was back', async () => {
    proxy.hold('up');
    client.write(request('late'));
    await new Promise<void>((resolve) => client.end(() => resolve()));
    client.destroy();
    proxy.release();
    expect(
      await eventually(
        () => Promise.resolve(asked),
        (all) => all.length > 0,
      ),
    ).toEqual(['late']);
  });

  it.each<[Fate, string[], string]>([
    ['sent twice', ['a', 'a', 'b'], reply(1) + reply(3)],
    ['answered twice', ['a', 'b'], reply(1) + reply(1) + reply(2)],
    ['garbled reply', ['a', 'b'], `*2\r\n$5\r\nlease\r\n*0\r\n${reply(2)}`],
  ])('does to one call what "%s" says, and leaves the next one alone', async (fate, wanted, text) => {
    proxy.meddle(fate, 1, 'a');
    client.write(request('a'));
    client.write(request('b'));
    expect(await untilReceived(text)).toBe(text);
    expect(asked).toEqual(wanted);
    expect(proxy.done.get(fate)).toBe(1);
  });

  it.each<[Fate, string[]]>([
    ['lost request', []],
    ['lost reply', ['a']],
  ])('says nothing any more on a connection that has a "%s"', async (fate, wanted) => {
    proxy.meddle(fate, 1, 'a');
    client.write(request('a'));
    client.write(request('b'));
    const other = await open();
    other.write(request('c'));
    await untilReceived('ok');
    // The second one may have been there before the first was answered.
    expect(asked.filter((name) => name !== 'b')).toEqual([...wanted, 'c']);
    expect(received).toMatch(/^\*2\r\n:\d\r\n\$2\r\nok\r\n$/);
    other.destroy();
  });

  it('breaks a connection in the middle of a reply', async () => {
    proxy.meddle('torn reply', 1);
    client.write(request('a'));
    expect(await untilOver()).toBe(true);
    expect(received).toBe(reply(1).slice(0, Math.ceil(reply(1).length / 2)));
  });

  it('resets what is connected, and refuses who comes', async () => {
    proxy.isRefusing = true;
    proxy.reset();
    expect(await untilOver()).toBe(true);
    // Whether it is connected before it is reset is the system's.
    await open().catch(() => undefined);
    expect(await untilOver()).toBe(true);
    expect(asked).toEqual([]);
    proxy.mend();
    client = await open();
    client.write(request('a'));
    expect(await untilReceived('ok')).toBe(reply(1));
  });
});
