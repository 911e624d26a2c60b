/** Feed lines for tests of the view, which verifies no signature: that is the follower's. */
import type { Entry, FeedLine, GrantEntry, LockEntry, Target } from '../../src/feed/entry.ts';
import type { Position } from '../../src/feed/position.ts';
import { runAtOnce } from '../../src/kernel/pace.ts';
import type { AppliedRevocation, RevocationView } from '../../src/revocation/view.ts';

export const AT = '2026-11-24T05:00:00.000Z';
export const AT_S = Date.parse(AT) / 1000;

/** An entry taken in in one go. */
export function applyNow(view: RevocationView, line: FeedLine): AppliedRevocation | undefined {
  return runAtOnce(view.applying(line), { monoMs: 0, wallMs: 0 });
}

interface LineParts {
  readonly id: string;
  readonly targets: readonly Target[];
  readonly position?: Position;
  readonly reason?: string;
  readonly ticket?: string;
}

export function revocationLine({
  id,
  targets,
  position = { epoch: 1, sequence: 1 },
  ...said
}: LineParts): FeedLine {
  const facts = { caller: 'admin', body: 'b'.repeat(64), by: 'inc_a', sig: 'unused' };
  return lineOf({ v: 1, id, at: AT, kind: 'revocation', targets: [...targets], ...facts, ...said }, position);
}

interface LockParts {
  readonly id: string;
  readonly targets: LockEntry['targets'];
  readonly expiresAtS: number;
  readonly position?: Position;
  readonly body?: string;
  readonly reason?: string;
}

export function lockLine({
  id,
  targets,
  expiresAtS,
  position = { epoch: 1, sequence: 1 },
  ...said
}: LockParts): FeedLine {
  const facts = { caller: 'admin', body: 'b'.repeat(64), by: 'inc_a', sig: 'unused' };
  const entry = {
    v: 1,
    id,
    at: AT,
    kind: 'lock',
    targets,
    expiresAtS,
    ...facts,
    ...said,
  } as const;
  return lineOf(entry, position);
}

export function liftLine(lock: string, untilS: number, position = { epoch: 1, sequence: 2 }): FeedLine {
  const facts = { caller: 'admin', by: 'inc_a', sig: 'unused' };
  const id = `lft_${position.sequence}`;
  return lineOf({ v: 1, id, at: AT, kind: 'lift', epochId: 'ep_1', lock, untilS, ...facts }, position);
}

type GrantFacts = Pick<GrantEntry, 'subject' | 'issuer' | 'action' | 'resource' | 'untilS'>;

export function grantLine(
  id: string,
  facts: Partial<GrantFacts> = {},
  position = { epoch: 1, sequence: 1 },
): FeedLine {
  const rest = { caller: 'admin', body: 'b'.repeat(64), by: 'inc_a', sig: 'unused' };
  const about = { subject: { id: 'billing' }, action: 'read', resource: { type: 'invoice' }, ...facts };
  return lineOf({ v: 1, id, at: AT, kind: 'grant', epochId: 'ep_1', ...about, ...rest }, position);
}

export function ungrantLine(grant: string, untilS?: number, position = { epoch: 1, sequence: 2 }): FeedLine {
  const facts = { caller: 'admin', by: 'inc_a', sig: 'unused', ...(untilS === undefined ? {} : { untilS }) };
  const id = `ung_${position.sequence}`;
  return lineOf({ v: 1, id, at: AT, kind: 'ungrant', grant, ...facts }, position);
}

export function outcomeLine(): FeedLine {
  const facts = {
    matched: 0,
    killed: 0,
    unconfirmed: 0,
    receipt: 'f'.repeat(64),
    by: 'inc_a',
    sig: 'unused',
  };
  const entry = {
    v: 1,
    id: 'ent_1',
    at: AT,
    kind: 'outcome',
    revocation: 'rev_a',
    state: 'enforced',
    ...facts,
  } as const;
  return lineOf(entry, { epoch: 1, sequence: 1 });
}

function lineOf(entry: Entry, position: Position): FeedLine {
  return { position, chain: '0'.repeat(40), sealed: { text: '', entry } };
}
