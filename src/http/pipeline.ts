/**
 * HTTP/1.1 pipelining (RFC 9112 section 9.3.2): answers of one connection go out in the order of its requests, so one
 * that is ready early would be held, and be old when it leaves. What waits behind another answer is decided when its
 * own can go out.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LIMITS } from '../kernel/limits.ts';

/** A request that waits counts for more by so many characters of its body: what waits is held. */
const WEIGHT_CHARS = 64 * 1024;

export class Pipeline {
  readonly #waiting = new WeakMap<object, number>();

  /** Calls `next` at once, or when all answers before this one are written. A connection that queues too many is cut. */
  whenNext({ socket }: IncomingMessage, res: ServerResponse, bodyChars: number, next: () => void): void {
    if (res.socket !== null) {
      next();
      return;
    }
    const weight = 1 + Math.floor(bodyChars / WEIGHT_CHARS);
    const waiting = this.#count(socket, weight);
    if (waiting > LIMITS.pipelinedMax) socket.destroy();
    res.once('socket', () => {
      this.#count(socket, -weight);
      next();
    });
  }

  #count(socket: object, by: number): number {
    const waiting = (this.#waiting.get(socket) ?? 0) + by;
    this.#waiting.set(socket, waiting);
    return waiting;
  }
}
