/** Writ as a contender: started from the sources, given the same revocations as the others, asked at its AuthZEN door. */
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Reply } from '../support/client.ts';
import { call } from '../support/client.ts';
import type { Running } from '../support/scene.ts';
import { revoke } from '../support/scene.ts';
import type { WritProcess, WritProcessOptions } from '../support/writ-process.ts';
import { makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';
import type { Contender } from './contender.ts';
import { askAuthzen } from './contender.ts';
import { ISSUER, revokedId } from './workload.ts';

export interface WritContender extends Contender {
  readonly process: WritProcess;
}

export interface WritOptions extends Omit<WritProcessOptions, 'dataDir'> {
  readonly name: string;
  /** Another Writ, whose dev issuer this one shares: then both know the same tokens. */
  readonly tokensOf?: WritProcess;
}

export async function startWritContender({
  name,
  tokensOf,
  ...options
}: WritOptions): Promise<WritContender> {
  const dataDir = await makeDataDir();
  if (tokensOf !== undefined) await copyFile(join(tokensOf.dataDir, 'fleet.key'), join(dataDir, 'fleet.key'));
  const process = await startWrit({ dataDir, ...options });
  return {
    name,
    process,
    pid: process.pid,
    url: `${process.urls.data}/access/v1/evaluation`,
    bodyOf: askAuthzen,
    allow: '"decision":true',
    decides: true,
    stop: async () => {
      // Twice is no error: exited has resolved by then.
      await process.kill('SIGKILL');
      await removeDataDir(dataDir);
    },
  };
}

export const BULK = 1_000;
const RETRY_MS = 250;
const FENCED_MAX = 100;

/** Revokes the ids `from` to `to` in bulk entries of 1,000, one after the other; throws when one is refused. */
export async function revokeBulk(writ: Running, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += BULK) await revokeInTheEnd(writ, at, Math.min(at + BULK, to));
}

/**
 * One bulk entry. A replica that says it is fenced is asked again, as `Retry-After` has it: on a busy machine a lease
 * runs out. Resolves with how often that was.
 */
export async function revokeInTheEnd(writ: Running, from: number, to: number): Promise<number> {
  const selectors = Array.from({ length: to - from }, (_, i) => jti(revokedId(from + i)));
  for (let fenced = 0; ; fenced++) {
    const reply = await revoke(writ, { selectors, wait: 'durable' });
    if (reply.body['code'] !== 'FENCED' || fenced === FENCED_MAX) {
      assertAppended(reply);
      return fenced;
    }
    await sleep(RETRY_MS);
  }
}

export async function revokeToken(writ: Running, id: string): Promise<void> {
  assertAppended(await revoke(writ, { selector: jti(id) }));
}

function jti(value: string): Record<string, string> {
  return { kind: 'jti', issuer: ISSUER, value };
}

function assertAppended({ status, text }: Reply): void {
  if (status !== 201) throw new Error(`a revocation was answered with ${status}: ${text}`);
}

/** How many handles Writ says it has in its index. */
export async function targetsOf(writ: Running): Promise<number> {
  const reply = await call(`${writ.urls.diagnostics}/readyz`);
  const checks = reply.body['checks'] as readonly { readonly name: string; readonly detail?: string }[];
  const view = checks.find(({ name }) => name === 'view');
  return Number(/(\d+) revoked targets?/.exec(view?.detail ?? '')?.[1] ?? Number.NaN);
}
