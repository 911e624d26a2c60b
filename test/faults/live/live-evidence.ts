/** What is asked of a live fleet when all is well again: nothing is lost, every receipt is true, one history (S4, S6, S8). */
import type { Keyring } from '../../../src/evidence/keyring.ts';
import { parseKeyring } from '../../../src/evidence/keyring.ts';
import type { ReceiptFacts } from '../../../src/evidence/receipt.ts';
import { verifyReceipt } from '../../../src/evidence/receipt.ts';
import { parseLine } from '../../../src/feed/entry.ts';
import { control } from '../../support/scene.ts';
import type { Link } from '../chains.ts';
import { gaps, partings } from '../chains.ts';
import { at } from '../history.ts';
import type { LiveFleet, LiveReplica, LiveRevoked } from './live-fleet.ts';

/** Set-full: what became of each revocation by the end. */
export interface Kept {
  readonly stable: number;
  readonly lost: number;
  readonly neverRead: number;
  /** From the order until nobody accepted it any more, as callers saw it; the shortest first. */
  readonly windowsMs: readonly number[];
}

/** Reads every revoked credential on every replica. */
export async function readAll(fleet: LiveFleet): Promise<Kept> {
  let [stable, lost, neverRead] = [0, 0, 0];
  const windowsMs: number[] = [];
  for (const order of fleet.revoked) {
    const { credential, enforcedMs, durableMs } = order;
    const reasons = await Promise.all(fleet.replicas.map((one) => fleet.ask(one, credential)));
    const isDurable = durableMs !== undefined && durableMs > fleet.forgotMs && !fleet.isAmnesiac;
    const isRead = reasons.some((reason) => reason !== 'unknown' && reason !== 'fenced');
    const bad = reasons.filter((reason) => reason !== 'revoked' && reason !== 'unknown');
    if (!isRead) neverRead += 1;
    else if (bad.length === 0) stable += 1;
    if (bad.includes('permitted') && (enforcedMs !== undefined || isDurable)) {
      lost += 1;
      fleet.violations.push(`LOST: ${credential} was ${order.answered} and is permitted at the end`);
    }
    windowsMs.push(windowOf(fleet, order));
  }
  return { stable, lost, neverRead, windowsMs: windowsMs.sort((a, b) => a - b) };
}

function windowOf({ asked }: LiveFleet, { credential, sentMs }: LiveRevoked): number {
  const last = asked.findLast((one) => one.credential === credential && one.reason === 'permitted');
  return Math.max(0, (last?.sentMs ?? 0) - sentMs);
}

/** S6: each receipt verifies, is about that one, and nobody has allowed it after the moment that it names for him. */
export async function checkReceipts(fleet: LiveFleet): Promise<number> {
  let checked = 0;
  let keyring: Keyring | undefined;
  for (const order of fleet.revoked) {
    const { credential, enforcedMs, id } = order;
    const [first] = fleet.replicas;
    if (enforcedMs === undefined || first === undefined) continue;
    keyring ??= await keyringAt(first);
    // It is with whoever made it, which need not be who answered (D-132).
    const replies = await Promise.all(
      fleet.replicas.map(({ running }) => control(running, `/v1/receipts/${id}`)),
    );
    const { text = '' } = replies.find(({ status }) => status === 200) ?? {};
    // It went with who came, and left.
    if (text === '' && !fleet.replicas.some(({ name }) => name === order.by)) continue;
    try {
      const facts = verifyReceipt(text, keyring);
      if (facts.state !== 'enforced')
        fleet.violations.push(`RECEIPT: ${credential} has one of ${facts.state}`);
      fleet.violations.push(...allowedAfter(fleet, order, facts));
      checked += 1;
    } catch (error) {
      fleet.violations.push(`RECEIPT: of ${credential} does not verify: ${String(error)}`);
    }
  }
  return checked;
}

async function keyringAt({ running }: LiveReplica): Promise<Keyring> {
  return parseKeyring(String((await control(running, '/v1/keys')).body['log']));
}

function allowedAfter(fleet: LiveFleet, { credential }: LiveRevoked, facts: ReceiptFacts): string[] {
  if (fleet.apart.has(facts.coordinator.replica)) return [];
  return facts.replicas.flatMap(({ replica, at: acknowledged, notLaterThan = acknowledged }) => {
    if (notLaterThan === undefined || fleet.apart.has(replica)) return [];
    // Both are whole milliseconds, rounded down.
    const overMs = Date.parse(notLaterThan) + 1;
    const allowed = fleet.asked.find(
      (one) =>
        one.replica === replica &&
        one.credential === credential &&
        one.reason === 'permitted' &&
        one.sentWallMs > overMs,
    );
    if (allowed === undefined) return [];
    return [
      `STALE: ${replica} permits ${credential} at ${at(allowed.sentMs)}, after its receipt says that it is over there (${notLaterThan})`,
    ];
  });
}

/** S8: no gaps, and all have one history. Returns how many lines were compared. */
export async function checkLedgers(fleet: LiveFleet): Promise<number> {
  const logs = await Promise.all(
    fleet.replicas.map(async ({ name, running }) => ({ name, links: await linksOf(running) })),
  );
  fleet.violations.push(...logs.flatMap(gaps), ...partings(logs));
  return logs.reduce((sum, { links }) => sum + links.length, 0);
}

async function linksOf(writ: LiveReplica['running']): Promise<Link[]> {
  const { text } = await control(writ, '/v1/ledger');
  // The last line is the checkpoint.
  return text
    .trimEnd()
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const { position, chain, sealed } = parseLine(line);
      const { entry } = sealed;
      const base = entry.kind === 'epoch' ? entry.base?.head : undefined;
      return { position, chain, ...(base === undefined ? {} : { base }) };
    });
}
