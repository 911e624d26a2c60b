/** Real, signed entries for tests of stores and of what stands on them. Ids are given or counted, never random. */
import type { EpochEntry, ReplicaEntry, SealedEntry, Target } from '../../src/feed/entry.ts';
import { sealEntry } from '../../src/feed/entry.ts';
import { signingKeyOf } from '../../src/kernel/key.ts';

export const LOG_KEY = signingKeyOf(new Uint8Array(32).fill(1));
export const REPLICA_KEY = signingKeyOf(new Uint8Array(32).fill(2));

const AT = '2026-11-24T05:00:00.000Z';

export function revocation(id: string, options: { targets?: Target[]; reason?: string } = {}): SealedEntry {
  const { targets = [{ kind: 'jti', issuer: 'https://issuer.example', value: id }], reason } = options;
  const said = reason === undefined ? {} : { reason };
  const facts = { kind: 'revocation', targets, caller: 'admin', body: 'b'.repeat(64) } as const;
  return sealEntry({ v: 1, id, at: AT, by: 'inc_a', ...facts, ...said }, REPLICA_KEY);
}

/** An entry of `targets` targets, as a bulk revocation makes it. */
export function bulkRevocation(id: string, targets: number): SealedEntry {
  const kind = 'jti';
  const list = Array.from({ length: targets }, (_, index) => ({
    kind,
    issuer: 'https://issuer.example',
    value: `${id}-${index}`,
  }));
  return revocation(id, { targets: list as Target[] });
}

export function lock(id: string, options: { expiresAtS?: number } = {}): SealedEntry {
  const targets = [{ kind: 'subject', issuer: 'https://issuer.example', value: 'billing' } as const];
  const { expiresAtS = 1_900_000_000 } = options;
  const facts = { kind: 'lock', targets, expiresAtS, caller: 'admin', body: 'b'.repeat(64) } as const;
  return sealEntry({ v: 1, id, at: AT, by: 'inc_a', reason: 'odd traffic', ...facts }, REPLICA_KEY);
}

export function lift(lockId: string): SealedEntry {
  const facts = {
    kind: 'lift',
    epochId: 'ep_1',
    lock: lockId,
    untilS: 1_900_000_000,
    caller: 'admin',
  } as const;
  return sealEntry({ v: 1, id: `lft_${lockId}`, at: AT, by: 'inc_a', ...facts }, REPLICA_KEY);
}

export function grant(id: string): SealedEntry {
  const about = { subject: { id: 'billing' }, action: 'read', resource: { type: 'invoice' } };
  const facts = { kind: 'grant', epochId: 'ep_1', ...about, caller: 'admin', body: 'b'.repeat(64) } as const;
  return sealEntry({ v: 1, id, at: AT, by: 'inc_a', ...facts }, REPLICA_KEY);
}

export function ungrant(grantId: string): SealedEntry {
  const facts = { kind: 'ungrant', grant: grantId, caller: 'admin' } as const;
  return sealEntry({ v: 1, id: `ung_${grantId}`, at: AT, by: 'inc_a', ...facts }, REPLICA_KEY);
}

export function outcome(revocationId: string): SealedEntry {
  const facts = {
    kind: 'outcome',
    revocation: revocationId,
    state: 'enforced',
    matched: 0,
    killed: 0,
  } as const;
  const rest = { unconfirmed: 0, receipt: 'f'.repeat(64) };
  return sealEntry({ v: 1, id: `out_${revocationId}`, at: AT, by: 'inc_a', ...facts, ...rest }, REPLICA_KEY);
}

export function replica(
  event: ReplicaEntry['event'],
  incarnation: string,
  options: { succeeds?: string; id?: string } = {},
): SealedEntry {
  const { succeeds, id = `${event}_${incarnation}` } = options;
  const follows = succeeds === undefined ? {} : { succeeds };
  const facts = { kind: 'replica', event, replica: 'a', incarnation, key: REPLICA_KEY.public.x } as const;
  return sealEntry({ v: 1, id, at: AT, by: incarnation, ...facts, ...follows }, LOG_KEY);
}

export function epoch(epochId: string, runId: string, base?: EpochEntry['base']): SealedEntry {
  const facts = { kind: 'epoch', epochId, runId, rule: 'bootstrap' } as const;
  const said = base === undefined ? {} : { base };
  return sealEntry({ v: 1, id: `ent_${epochId}`, at: AT, by: 'inc_a', ...facts, ...said }, LOG_KEY);
}
