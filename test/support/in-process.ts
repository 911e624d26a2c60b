/**
 * A whole Writ inside the test's own process, so that coverage counts it: real edges, listeners on free ports, a
 * temporary data directory, and every log line kept. For tests of the doors; scenes that kill processes use writ-process.ts.
 */
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writ } from '../../src/compose.ts';
import { compose } from '../../src/compose.ts';
import { requireConfig } from '../../src/config/config.ts';
import type { Plane } from '../../src/http/operation.ts';
import { openLog } from '../../src/edges/telemetry/log.ts';
import type { CallOptions, Reply } from './client.ts';
import { call } from './client.ts';
import { faultOf } from './openapi-judge.ts';

export interface InProcessOptions {
  /** As `writ serve --allow-older` does. */
  readonly allowOlderPolicy?: boolean;
  readonly fileText?: string;
  readonly sets?: readonly string[];
  readonly dev?: boolean;
  /** Opened again after a close: everything that was durable is still there. */
  readonly dataDir?: string;
}

const FREE_PORTS = ['data', 'control', 'diagnostics'].map((name) => `listen.${name}=127.0.0.1:0`);

export class InProcessWrit {
  readonly dataDir: string;
  readonly writ: Writ;
  readonly #lines: () => string;

  private constructor(dataDir: string, writ: Writ, lines: () => string) {
    this.dataDir = dataDir;
    this.writ = writ;
    this.#lines = lines;
  }

  static async open({
    fileText,
    sets = [],
    dev = true,
    allowOlderPolicy = false,
    ...at
  }: InProcessOptions = {}): Promise<InProcessWrit> {
    const dataDir = at.dataDir ?? (await mkdtemp(join(tmpdir(), 'writ-in-process-')));
    let lines = '';
    const { log } = openLog({
      sink: (chunk, done) => {
        lines += Buffer.from(chunk).toString();
        done();
      },
    });
    const config = requireConfig({
      fileText,
      env: {},
      sets: [...FREE_PORTS, `dataDir=${dataDir}`, ...sets],
      dev,
      cwd: dataDir,
      replicaDefault: 'gw-1',
    });
    return new InProcessWrit(dataDir, await compose({ config, log, allowOlderPolicy }), () => lines);
  }

  /** Everything it has logged. */
  get log(): string {
    return this.#lines();
  }

  get adminToken(): string {
    return this.writ.adminToken;
  }

  data(path: string, options: CallOptions = {}): Promise<Reply> {
    return this.#ask('data', path, options);
  }

  /** As the admin unless `token` says otherwise; an empty one sends no credential. */
  control(path: string, { token = this.adminToken, ...options }: CallOptions = {}): Promise<Reply> {
    return this.#ask('control', path, token === '' ? options : { token, ...options });
  }

  diagnostics(path: string, options: CallOptions = {}): Promise<Reply> {
    return this.#ask('diagnostics', path, options);
  }

  /** Every answer is judged by the document that this server serves. */
  async #ask(plane: Plane, path: string, options: CallOptions): Promise<Reply> {
    const reply = await call(`${this.writ.urls[plane]}${path}`, options);
    const method = options.method ?? (options.body === undefined ? 'GET' : 'POST');
    const fault = faultOf(plane, method, path, reply);
    if (fault !== undefined) throw new Error(fault);
    return reply;
  }

  /** A token of the dev issuer: `billing` with `invoice:read` unless `request` changes it. */
  async mint(request: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const body = { sub: 'billing', scope: 'invoice:read', ...request };
    const reply = await this.control('/v1/dev/tokens', { body });
    if (reply.status !== 201) throw new Error(`the dev issuer answered ${reply.status}`);
    return String(reply.body['token']);
  }

  /** Path -> bytes of every file in the data directory. */
  async files(): Promise<ReadonlyMap<string, Buffer>> {
    const entries = await readdir(this.dataDir, { recursive: true, withFileTypes: true });
    const paths = entries
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name));
    return new Map(await Promise.all(paths.map(async (path) => [path, await readFile(path)] as const)));
  }

  close(): Promise<void> {
    return this.writ.close();
  }

  /** Closes it and removes its data directory. */
  async remove(): Promise<void> {
    await this.close();
    await rm(this.dataDir, { recursive: true, force: true });
  }
}

/** An AuthZEN request of `billing` to read invoice 42, with this token. */
export function evaluation(token?: string): Record<string, unknown> {
  return {
    subject: { type: 'service', id: 'billing' },
    action: { name: 'read' },
    resource: { type: 'invoice', id: '42' },
    ...(token === undefined ? {} : { context: { credential: { scheme: 'Bearer', token } } }),
  };
}

/** A session of `billing` with this token. */
export function registration(
  token: string,
  more: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  return {
    credential: { scheme: 'Bearer', token },
    kind: 'websocket',
    action: { name: 'read' },
    resource: { type: 'invoice', id: '42' },
    ...more,
  };
}

export function contextOf(reply: Reply): Record<string, unknown> {
  return (reply.body['context'] ?? {}) as Record<string, unknown>;
}
