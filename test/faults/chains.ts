/** S8: what several replicas have applied is one history. */
import type { Position } from '../../src/feed/position.ts';
import { comparePositions, parsePosition, renderPosition } from '../../src/feed/position.ts';

export interface Link {
  readonly position: Position;
  readonly chain: string;
  /** Of an epoch's first entry: the head that it goes on from. */
  readonly base?: string;
}

export interface Log {
  readonly name: string;
  readonly links: readonly Link[];
}

/** As sentences; none where they are one, from where both have begun (at a snapshot, perhaps) to where both have come. */
export function partings(logs: readonly Log[]): string[] {
  const [first, ...others] = logs.map(({ name, links }) => ({ name, links: lineage(links) }));
  if (first === undefined) return [];
  return others.flatMap(({ name, links }) => {
    const [ours, theirs] = [shared(first.links, links), shared(links, first.links)];
    const i = Array.from({ length: Math.max(ours.length, theirs.length) }).findIndex(
      (_, n) => ours[n]?.chain !== theirs[n]?.chain,
    );
    const link = theirs[i] ?? ours[i];
    return link === undefined
      ? []
      : [`CHAINS: ${name} and ${first.name} part at ${renderPosition(link.position)}`];
  });
}

/** Of `links` those that are not before or behind all of `others`. */
function shared(links: readonly Link[], others: readonly Link[]): readonly Link[] {
  const [from, to] = [others[0]?.position, others.at(-1)?.position];
  if (from === undefined || to === undefined) return [];
  return links.filter(
    ({ position }) => comparePositions(position, from) >= 0 && comparePositions(position, to) <= 0,
  );
}

/** Within an epoch each follows the one before it. */
export function gaps({ name, links }: Log): string[] {
  return links.flatMap(({ position }, i) => {
    const before = links[i - 1]?.position;
    if (before?.epoch !== position.epoch || position.sequence === before.sequence + 1) return [];
    return [`CHAINS: ${name} has ${renderPosition(position)} after ${renderPosition(before)}`];
  });
}

/** Without what the next epoch does not go on from: who had more has kept it (D-046). */
function lineage(links: readonly Link[]): readonly Link[] {
  let kept: Link[] = [];
  for (const link of links) {
    const { base } = link;
    if (base !== undefined)
      kept = kept.filter(({ position }) => comparePositions(position, parsePosition(base)) <= 0);
    kept.push(link);
  }
  return kept;
}
