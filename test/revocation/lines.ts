/** Feed lines for tests of the view, which verifies no signature: that is the follower's. */
import type { Entry, FeedLine, Target } from '../../src/feed/entry.ts';
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
