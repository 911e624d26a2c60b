/**
 * What targets make dead: the handles of each, with the cutoff and the end of each. By the view, and by whoever reads lines
 * for it on another thread: a thousand fingerprints are what costs most of a bulk revocation.
 */
import type { Fingerprinter } from '../credential/handle.ts';
import { handlesOfTarget } from '../credential/handle.ts';
import type { Target } from '../feed/entry.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { Steps } from '../kernel/pace.ts';
import type { DeadHandle } from './cutoff.ts';
import { endOfHandleS } from './retention.ts';
import { NEVER_S } from './table.ts';
import { word } from './word.ts';

export interface EndingHandle extends DeadHandle {
  /** Epoch seconds; NEVER_S: never. */
  readonly untilS: number;
}

/** In the order of the targets, in pieces. */
export function* endingHandles(
  targets: readonly Target[],
  fingerprinter: Fingerprinter,
): Steps<readonly EndingHandle[]> {
  const dead: EndingHandle[] = [];
  for (const [i, target] of targets.entries()) {
    if (i % LIMITS.piecesMax === 0) yield;
    dead.push(...endingHandlesOf(target, fingerprinter));
  }
  return dead;
}

function endingHandlesOf(target: Target, fingerprinter: Fingerprinter): EndingHandle[] {
  const { handles, prints, cutoffFrom } = fingerprinter.print(handlesOfTarget(target));
  return handles.map(({ kind }, i) => ({
    hi: word(prints, 2 * i),
    lo: word(prints, 2 * i + 1),
    // A cutoff that is missing where there should be one leaves nothing alive.
    cutoffS: i < cutoffFrom ? undefined : (target.cutoffS ?? NEVER_S),
    untilS: endOfHandleS(kind, target.untilS),
  }));
}

/** Of each handle: two words of its fingerprint, its end, whether it has a cutoff, and that. */
const WORDS = 5;

/** As numbers that another thread can be handed. */
export function packEnding(dead: readonly EndingHandle[]): Uint32Array {
  const words = new Uint32Array(WORDS * dead.length);
  for (const [i, { hi, lo, cutoffS, untilS }] of dead.entries())
    words.set([hi, lo, untilS, cutoffS === undefined ? 0 : 1, cutoffS ?? 0], WORDS * i);
  return words;
}

export function unpackEnding(words: Uint32Array): readonly EndingHandle[] {
  return Array.from({ length: words.length / WORDS }, (_, i) => {
    const at = WORDS * i;
    const cutoffS = word(words, at + 3) === 0 ? undefined : word(words, at + 4);
    return { hi: word(words, at), lo: word(words, at + 1), untilS: word(words, at + 2), cutoffS };
  });
}
