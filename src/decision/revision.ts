/**
 * Which of two bundles is older, by the `revision` in their manifests. Only whole numbers and RFC 3339 instants have an
 * order; any other text (a commit, a tag) says nothing about age, and bundles that have it may come in any order.
 */
import { parseInstant } from '../kernel/clock.ts';

const WHOLE_NUMBER = /^(0|[1-9]\d{0,18})$/;

/** True for a revision that others can be older than. */
export function isOrdered(revision: string): boolean {
  return WHOLE_NUMBER.test(revision) || parseInstant(revision) !== undefined;
}

/** Why a bundle of that revision may not replace what ran before, or undefined when it may. */
export function refusalByFloor(revision: string | undefined, floor: string | undefined): string | undefined {
  if (floor === undefined) return undefined;
  if (revision === undefined) return `the bundle has no revision, and the one that ran last had ${floor}`;
  const isOld = isOlder(revision, floor);
  if (isOld === false) return undefined;
  const compared = isOld === true ? 'is older than' : 'cannot be compared with';
  return `the bundle ${compared} the one that ran last: revision ${JSON.stringify(revision)} after ${floor}`;
}

/** Undefined when they are not of one kind. */
function isOlder(revision: string, other: string): boolean | undefined {
  if (WHOLE_NUMBER.test(revision) && WHOLE_NUMBER.test(other)) return BigInt(revision) < BigInt(other);
  const [at, otherAt] = [parseInstant(revision), parseInstant(other)];
  return at === undefined || otherAt === undefined ? undefined : at < otherAt;
}
