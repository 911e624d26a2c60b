/**
 * Between a replica and its Redis: a proxy that can hold what goes in one direction or both, without closing anything and
 * without losing a byte, as a network does that comes back.
 */
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';

export type Direction = 'up' | 'down';

export class HoldingProxy {
  readonly path: string;
  #target: string;
  readonly #server: Server;
  readonly #held: Record<Direction, boolean> = { up: false, down: false };
  readonly #ends: { readonly direction: Direction; readonly from: Socket }[] = [];

  private constructor(path: string, target: string, server: Server) {
    this.path = path;
    this.#target = target;
    this.#server = server;
  }

  /** Listens at `path`; forwards to the socket at `target`. Either may be a port of this host, as digits. */
  static async open(path: string, target: string): Promise<HoldingProxy> {
    const server = createServer({ pauseOnConnect: true });
    const proxy = new HoldingProxy(path, target, server);
    server.on('connection', (client) => proxy.#join(client, connect(proxy.#target)));
    server.listen(path);
    await once(server, 'listening');
    return proxy;
  }

  hold(...directions: readonly Direction[]): void {
    this.#set(directions, true);
  }

  /** What was held goes on, in its order. */
  release(): void {
    this.#set(['up', 'down'], false);
  }

  /** The address is another server's from now on: what was connected to the one before is cut. */
  moveTo(target: string): void {
    this.#target = target;
    this.#cut();
  }

  close(): void {
    this.#cut();
    this.#server.close();
  }

  #cut(): void {
    for (const { from } of this.#ends.splice(0)) from.destroy();
  }

  #set(directions: readonly Direction[], isHeld: boolean): void {
    for (const direction of directions) this.#held[direction] = isHeld;
    for (const { direction, from } of this.#ends) this.#apply(direction, from);
  }

  #join(client: Socket, server: Socket): void {
    this.#forward('up', client, server);
    this.#forward('down', server, client);
  }

  #forward(direction: Direction, from: Socket, to: Socket): void {
    this.#ends.push({ direction, from });
    from.on('data', (chunk) => to.write(chunk));
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
    this.#apply(direction, from);
  }

  #apply(direction: Direction, from: Socket): void {
    if (this.#held[direction]) from.pause();
    else from.resume();
  }
}
