/**
 * Reads the lines that a store has brought as far as can be done without knowing what this replica has applied: whose
 * signature is good, what is dead by them. Whoever applies them decides whether that is the key it must be.
 */
import type { Fingerprinter } from '../../credential/handle.ts';
import { leafHash } from '../../evidence/merkle.ts';
import type { BulkReading, FeedLine, SealedEntry } from '../../feed/entry.ts';
import { isBulk, isLogSigned, isSignedBy, leafText, nextChain } from '../../feed/entry.ts';
import type { PublicKey } from '../../kernel/key.ts';
import { parsePublicKey } from '../../kernel/key.ts';
import { runAtOnce } from '../../kernel/pace.ts';
import { turns } from '../../kernel/turns.ts';
import { endingHandles, packEnding } from '../../revocation/ending.ts';

/** Lines that are verified in one go: some milliseconds. */
const TOGETHER = 32;

export class Reader {
  readonly #fingerprinter: Fingerprinter;
  readonly #log: PublicKey | undefined;
  readonly #keys = new Map<string, PublicKey>();

  /** `logKey`: base64url. */
  constructor(fingerprinter: Fingerprinter, logKey: string) {
    this.#fingerprinter = fingerprinter;
    this.#log = parsePublicKey(logKey);
  }

  /** What `incarnation` signs is signed with `key` (base64url). */
  knows(incarnation: string, key: string): void {
    const parsed = parsePublicKey(key);
    if (parsed !== undefined) this.#keys.set(incarnation, parsed);
  }

  /** `lines` with their readings. `chain`: of the line before the first of them. Whatever else this thread has to do is done in between. */
  async read(lines: readonly FeedLine[], chain: string): Promise<readonly FeedLine[]> {
    const read: FeedLine[] = [];
    for (const line of lines) {
      const signedBy = this.#signerOf(line.sealed);
      const bulk = isBulk(line.sealed) ? this.#readBulk(line, read.at(-1)?.chain ?? chain) : undefined;
      read.push({ ...line, reading: { signedBy, ...(bulk === undefined ? {} : { bulk }) } });
      if (isBulk(line.sealed) || read.length % TOGETHER === 0) await turns.next('urgent');
    }
    return read;
  }

  #signerOf(sealed: SealedEntry): string | undefined {
    const { entry } = sealed;
    const key = isLogSigned(entry) ? this.#log : this.#keys.get(entry.by);
    return key !== undefined && isSignedBy(sealed, key) ? key.x : undefined;
  }

  /** Undefined for what is no revocation, or does not continue what is before it: whoever applies it finds that out, and says so. */
  #readBulk(line: FeedLine, after: string): BulkReading | undefined {
    const { entry, text } = line.sealed;
    if (entry.kind !== 'revocation' || nextChain(after, text) !== line.chain) return undefined;
    const ending = packEnding(runAtOnce(endingHandles(entry.targets, this.#fingerprinter)));
    return { after, leaf: leafHash(leafText(line)), targetsCount: entry.targets.length, ending };
  }
}
