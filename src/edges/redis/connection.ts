/**
 * One connection to Redis, with every option that matters written out: nothing is queued while it is down, nothing is
 * sent twice, and every command has a deadline of our own, because a command in flight may never settle otherwise.
 * Says of each failure whether the command may have been carried out.
 */
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { Redis, ReplyError } from 'ioredis';

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  /** A Unix socket, in place of host and port. */
  readonly path?: string;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: TlsOptions;
  /** As `CLIENT LIST` shows it. */
  readonly name: string;
  /** How long one command may take. */
  readonly callMs: number;
}

/** `refused`: the server said no and did nothing. `unsent`: it never left. `lost`: it may have been carried out. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly kind: 'refused' | 'unsent' | 'lost';

  constructor(kind: CommandFailure['kind'], message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

export type Reply = string | number | null | readonly Reply[];

const CONNECT_MS = 2_000;
const RETRY_MS_MAX = 500;

export class Connection {
  readonly #redis: Redis;
  readonly #callMs: number;

  constructor({ host, port, path, username, password, tls, name, callMs }: ConnectionOptions) {
    this.#callMs = callMs;
    this.#redis = new Redis({
      ...(path === undefined ? { host, port } : { path }),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(tls === undefined ? {} : { tls }),
      connectionName: name,
      disableClientInfo: true,
      lazyConnect: true,
      connectTimeout: CONNECT_MS,
      disconnectTimeout: CONNECT_MS,
      // For ever, soon: a store that is back must find us within a lease.
      retryStrategy: (times) => Math.min(10 * 2 ** Math.min(times, 6), RETRY_MS_MAX),
      reconnectOnError: null,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      // It would leave a failure of it to nobody, which ends the process: `listen` does it.
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      enableReadyCheck: false,
      enableAutoPipelining: false,
      protocol: 2,
      replyMapping: 'legacy',
      stringNumbers: false,
      keepAlive: 10_000,
      noDelay: true,
      readOnly: false,
      db: 0,
    });
    // Each failure is the answer of a command; what happens in between is no news.
    this.#redis.on('error', () => undefined);
  }

  /** Resolves when it is up; CommandFailure `unsent` when it is not in time. It goes on trying meanwhile. */
  async connect(): Promise<void> {
    try {
      if (this.#redis.status === 'wait') await this.#timely(this.#redis.connect(), this.#callMs);
    } catch (cause) {
      throw cause instanceof ReplyError
        ? new CommandFailure('refused', messageOf(cause), cause)
        : new CommandFailure('unsent', messageOf(cause), cause);
    }
  }

  /** CommandFailure otherwise. */
  async call([command, ...args]: readonly [string, ...(string | Buffer)[]]): Promise<Reply> {
    return (await this.#send(() => this.#redis.call(command, ...args))) as Reply;
  }

  /** As `call`, for a flat reply of bytes. */
  async callBuffers([command, ...args]: readonly [string, ...string[]]): Promise<readonly Buffer[]> {
    return (await this.#send(() => this.#redis.callBuffer(command, ...args))) as Buffer[];
  }

  async #send(send: () => Promise<unknown>): Promise<unknown> {
    if (this.#redis.status !== 'ready') throw new CommandFailure('unsent', 'there is no connection to Redis');
    try {
      return await this.#timely(send(), this.#callMs);
    } catch (cause) {
      if (cause instanceof CommandFailure) throw cause;
      throw new CommandFailure(cause instanceof ReplyError ? 'refused' : 'lost', messageOf(cause), cause);
    }
  }

  /** `onMessage` for each message on `channel`, also after the connection was lost. */
  async listen(channel: string, onMessage: () => void): Promise<void> {
    this.#redis.on('message', onMessage);
    this.#redis.on('ready', () => void this.#redis.subscribe(channel).catch(() => undefined));
    await this.connect();
  }

  close(): void {
    this.#redis.disconnect();
  }

  async #timely<T>(work: Promise<T>, ms: number): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new CommandFailure('lost', 'Redis did not answer in time')), ms);
    try {
      return await Promise.race([work, promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : 'Redis could not be asked';
}
