/**
 * One connection to Redis, with every option that matters written out: nothing is queued while it is down, nothing is
 * sent twice, and every command has a deadline of our own, because a command in flight may never settle otherwise.
 * Says of each failure whether the command may have been carried out.
 */
import { createRequire } from 'node:module';
import type { Duplex } from 'node:stream';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { RedisOptions } from 'ioredis';
import { Redis, ReplyError } from 'ioredis';
import type { Attempted } from './failure.ts';
import { CommandFailure, withAdvice } from './failure.ts';

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  /** A Unix socket, in place of host and port. */
  readonly path?: string;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: TlsOptions;
  /** They say where the server is that they know as `host`; asked again at each connection. */
  readonly sentinel?: SentinelOptions;
  /** As `CLIENT LIST` shows it. */
  readonly name: string;
  /** How long one command may take. */
  readonly callMs: number;
}

export interface SentinelOptions {
  readonly servers: readonly { readonly host: string; readonly port: number }[];
  readonly username?: string;
  readonly password?: string;
  readonly tls?: TlsOptions;
}

/** How a server is reached; name and patience are each connection's own. */
export type ServerAddress = Omit<ConnectionOptions, 'name' | 'callMs'>;

export type Reply<Text = string> = Text | number | null | readonly Reply<Text>[];

const UNANSWERED = 'it did not answer in time';

const CONNECT_MS = 2_000;
const RETRY_MS_MAX = 500;

/** For ever, soon: a store that is back must find us within a lease. */
const retryMs = (times: number): number => Math.min(10 * 2 ** Math.min(times, 6), RETRY_MS_MAX);

/**
 * What ioredis cannot make sense of it throws again where nobody can catch it, which ends the process: somebody between us
 * and Redis could. As with bytes that are no RESP, the connection ends instead, its commands fail, and another one is made.
 */
interface DataHandler {
  dispatch(take: () => void): void;
  returnFatalError(error: unknown): void;
}
const { default: handler } = createRequire(import.meta.url)('ioredis/built/DataHandler.js') as {
  default: { prototype: DataHandler };
};
handler.prototype.dispatch = function (take) {
  try {
    take();
  } catch (error) {
    this.returnFatalError(error);
  }
};

export class Connection {
  readonly #redis: Redis;
  readonly #callMs: number;
  /** Added to a refusal of who asks. */
  readonly #asker: string;
  /** Why there is no connection. */
  #reason = UNANSWERED;
  #attempted: Attempted;

  constructor({ host, port, path, username, password, tls, sentinel, name, callMs }: ConnectionOptions) {
    this.#callMs = callMs;
    const sentinelIsTls = sentinel === undefined ? undefined : sentinel.tls !== undefined;
    this.#attempted = { isTls: tls !== undefined, sentinelIsTls, wasUp: false };
    const place = sentinel === undefined ? (path ?? `${host}:${port}`) : host;
    this.#asker = ` (user ${username ?? 'default'}, with${password === undefined ? 'out' : ''} a password, at ${place}: see store.url and store.passwordFile)`;
    this.#redis = new Redis({
      ...(sentinel === undefined
        ? path === undefined
          ? { host, port }
          : { path }
        : sentinelOptions(host, sentinel, callMs)),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(tls === undefined ? {} : { tls }),
      connectionName: name,
      disableClientInfo: true,
      lazyConnect: true,
      connectTimeout: CONNECT_MS,
      disconnectTimeout: CONNECT_MS,
      retryStrategy: retryMs,
      // Who was the master and is a replica now is left, and looked for again. The command is not sent again.
      reconnectOnError: ({ message }) => message.startsWith('READONLY'),
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
    // Each failure is the answer of a command; what happens in between only says why there is no connection.
    for (const event of ['error', 'sentinelError'])
      this.#redis.on(event, (error: unknown) => (this.#reason = this.#said(error)));
    // Whatever it was, it is over: what ends this one says so, or was its end.
    this.#redis.on('ready', () => {
      this.#reason = 'it has ended the connection';
      this.#attempted = { ...this.#attempted, wasUp: true };
    });
    this.#redis.on('connect', () => this.#endUnlessReady(this.#redis.stream));
  }

  /** Resolves when it is up; CommandFailure `unsent` when it is not in time. It goes on trying meanwhile. */
  async connect(): Promise<void> {
    try {
      if (this.#redis.status === 'wait') await this.#timely(this.#redis.connect());
    } catch (cause) {
      throw cause instanceof ReplyError
        ? new CommandFailure('refused', this.#said(cause), cause)
        : this.#absent(cause);
    }
  }

  /** CommandFailure otherwise. */
  async call([command, ...args]: readonly [string, ...(string | Buffer)[]]): Promise<Reply> {
    return (await this.#send(() => this.#redis.call(command, ...args))) as Reply;
  }

  /** As `call`, with bytes for texts. */
  async callBuffers([command, ...args]: readonly [string, ...string[]]): Promise<Reply<Buffer>> {
    return (await this.#send(() => this.#redis.callBuffer(command, ...args))) as Reply<Buffer>;
  }

  async #send(send: () => Promise<unknown>): Promise<unknown> {
    if (this.#redis.status !== 'ready' || !this.#redis.stream.writable) throw this.#absent();
    try {
      return await this.#timely(send());
    } catch (cause) {
      if (cause instanceof CommandFailure) throw cause;
      throw new CommandFailure(cause instanceof ReplyError ? 'refused' : 'lost', this.#said(cause), cause);
    }
  }

  /** `onMessage` for each message on `channel`, also after the connection was lost. */
  async listen(channel: string, onMessage: (said: string) => void): Promise<void> {
    this.#redis.on('message', (_channel, said) => onMessage(said));
    this.#redis.on('ready', () => void this.#redis.subscribe(channel).catch(() => undefined));
    await this.connect();
  }

  /** Ends the connection, and makes another one: to whoever is the master by now. */
  renew(): void {
    if (this.#redis.status === 'ready') this.#redis.stream.destroy();
  }

  close(): void {
    this.#redis.disconnect();
  }

  /** Who takes a connection and then says nothing has no deadline in ioredis. */
  #endUnlessReady(stream: Duplex): void {
    const timer = setTimeout(() => {
      if (this.#redis.status === 'ready') return;
      this.#reason = UNANSWERED;
      stream.destroy();
    }, this.#callMs);
    stream.once('close', () => clearTimeout(timer));
    timer.unref();
  }

  #absent(cause?: unknown): CommandFailure {
    return new CommandFailure(
      'unsent',
      `there is no connection to Redis: ${withAdvice(this.#reason, this.#attempted)}`,
      cause,
    );
  }

  #said(cause: unknown): string {
    const message = cause instanceof Error ? cause.message : 'Redis could not be asked';
    return /^(WRONGPASS|NOAUTH)/.test(message) ? `${message}${this.#asker}` : message;
  }

  async #timely<T>(work: Promise<T>): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      reject(new CommandFailure('lost', 'Redis did not answer in time'));
      if (['connect', 'ready'].includes(this.#redis.status)) this.#reason = UNANSWERED;
      // A peer that hangs, or is gone without a word, keeps its connection for minutes: there may be another master.
      this.renew();
    }, this.#callMs);
    try {
      return await Promise.race([work, promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function sentinelOptions(name: string, sentinel: SentinelOptions, callMs: number): RedisOptions {
  const { servers, username, password, tls } = sentinel;
  return {
    name,
    role: 'master',
    sentinels: [...servers],
    ...(username === undefined ? {} : { sentinelUsername: username }),
    ...(password === undefined ? {} : { sentinelPassword: password }),
    ...(tls === undefined ? {} : { sentinelTLS: tls }),
    // `tls` is the server's; without this it would be spoken to in the clear.
    enableTLSForSentinelMode: true,
    sentinelRetryStrategy: retryMs,
    sentinelReconnectStrategy: () => null,
    sentinelCommandTimeout: callMs,
    sentinelMaxConnections: 1,
    // Only those that are configured are asked; what they say is not believed: the epoch knows its server (D-041).
    updateSentinels: false,
    failoverDetector: false,
  };
}
