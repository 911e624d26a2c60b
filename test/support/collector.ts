/** A real HTTP collector: takes what it is sent, or does what collectors do when they are ill. */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';

export interface Upload {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** A status to answer with, or an illness. */
export type Mood = number | 'hang' | 'reset' | 'endless' | 'redirect';

export class Collector {
  readonly uploads: Upload[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  mood: Mood = 200;
  /** How long a status takes. */
  delayMs = 0;

  private constructor() {
    this.#server = createServer((req, res) => this.#take(req, res));
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
    });
  }

  static async open(mood: Mood = 200): Promise<Collector> {
    const collector = new Collector();
    collector.mood = mood;
    await new Promise<void>((resolve) => collector.#server.listen(0, '127.0.0.1', resolve));
    return collector;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/logs`;
  }

  /** Every event of every upload, in order. */
  get events(): Record<string, unknown>[] {
    return this.uploads.flatMap(
      ({ body }) => JSON.parse(gunzipSync(body).toString('utf8')) as Record<string, unknown>[],
    );
  }

  /** Resolves when `count` uploads have come, whatever was answered. */
  async asked(count: number): Promise<void> {
    if (this.uploads.length >= count) return;
    await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #take(req: IncomingMessage, res: ServerResponse): void {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('error', () => undefined);
    req.on('end', () => {
      this.uploads.push({ path: req.url ?? '', headers: req.headers, body: Buffer.concat(chunks) });
      this.#answer(req, res);
      for (const one of this.#waiting) if (this.uploads.length >= one.count) one.resolve();
    });
  }

  #answer(req: IncomingMessage, res: ServerResponse): void {
    const status = this.mood;
    switch (status) {
      case 'hang':
        return;
      case 'reset':
        req.socket.resetAndDestroy();
        return;
      case 'redirect':
        res.writeHead(307, { location: '/elsewhere' }).end();
        return;
      case 'endless':
        res.writeHead(200);
        res.on('error', () => undefined);
        res.write('x'.repeat(100_000));
        return;
      default:
        setTimeout(
          () => res.writeHead(status, { 'content-type': 'application/json' }).end('{}'),
          this.delayMs,
        );
    }
  }
}
