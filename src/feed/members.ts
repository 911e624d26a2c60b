/**
 * Who may sign: the incarnations that a `replica` entry, signed by the log key, has admitted. The text of that
 * entry is the certificate a receipt carries.
 */
import type { PublicKey } from '../kernel/key.ts';
import { parsePublicKey } from '../kernel/key.ts';
import type { FeedLine } from './entry.ts';

export interface Member {
  readonly replica: string;
  readonly incarnation: string;
  readonly key: PublicKey;
  /** `succeeded`: another incarnation goes on with its data directory. */
  readonly state: 'joined' | 'left' | 'forgotten' | 'succeeded';
  /** RFC 3339, by its own wall clock. */
  readonly joinedAt: string;
  /** The canonical text of the entry that admitted it. */
  readonly certificate: string;
}

export class Members {
  readonly #byIncarnation = new Map<string, Member>();

  /** Folds one `replica` entry whose signature has been checked; other kinds change nothing. */
  apply(line: FeedLine): void {
    const { entry, text } = line.sealed;
    if (entry.kind !== 'replica') return;
    if (entry.event !== 'joined') {
      this.#mark(entry.incarnation, entry.event);
      return;
    }
    const key = parsePublicKey(entry.key);
    if (key === undefined) return;
    // Of one that was forgotten meanwhile nobody goes on.
    if (entry.succeeds !== undefined && this.lookup(entry.succeeds)?.state === 'joined')
      this.#mark(entry.succeeds, 'succeeded');
    const { replica, incarnation, at: joinedAt } = entry;
    const state = 'joined';
    this.#byIncarnation.set(incarnation, { replica, incarnation, key, state, joinedAt, certificate: text });
  }

  /** One as a snapshot names it; of who is known already only the state can be news. The signature has been checked. */
  restore(member: Member): void {
    const known = this.#byIncarnation.get(member.incarnation);
    if (known === undefined) this.#byIncarnation.set(member.incarnation, member);
    else if (known.state === 'joined') this.#mark(member.incarnation, member.state);
  }

  lookup(incarnation: string): Member | undefined {
    return this.#byIncarnation.get(incarnation);
  }

  keyOf(incarnation: string): PublicKey | undefined {
    return this.#byIncarnation.get(incarnation)?.key;
  }

  /** The newest incarnation that signs with `x` and neither left nor was forgotten: whose data directory this is. */
  predecessorOf(x: string): Member | undefined {
    return [...this.#byIncarnation.values()].findLast(
      (member) => member.key.x === x && member.state === 'joined',
    );
  }

  list(): readonly Member[] {
    return [...this.#byIncarnation.values()];
  }

  #mark(incarnation: string, state: Member['state']): void {
    const member = this.#byIncarnation.get(incarnation);
    if (member !== undefined) this.#byIncarnation.set(incarnation, { ...member, state });
  }
}
