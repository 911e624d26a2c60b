/** Who this process is in the fleet: one incarnation of one replica, and the keys it signs with. */
import type { SigningKey } from '../kernel/key.ts';

export interface Identity {
  readonly fleet: string;
  readonly replica: string;
  /** This run of the process; what holds a lease. */
  readonly incarnation: string;
  /** The replica's own key: entries, acknowledgements, statements. */
  readonly key: SigningKey;
  /** The fleet's log key: checkpoints, and the entries that admit replicas and epochs. */
  readonly logKey: SigningKey;
}
