/**
 * The ports through which a policy comes: where its bundle is, and what makes an engine of it. flows/reload.ts puts
 * them in order. A bundle is a file to all of them, so that its bytes never pass through the loop.
 */
import type { PolicyEngine } from './policy-engine.ts';

/** A bundle that can be read now. */
export interface FetchedBundle {
  readonly file: string;
  /** Has it for the next start too, on disk when it resolves. INTERNAL when it cannot be kept. */
  keep(): Promise<void>;
  /**
   * Called once, last. True: it was accepted and kept, so it is asked for again only when it changed. False: it is asked
   * for again, and what is left of what was fetched is thrown away. Never rejects: a refusal must not become another one by it.
   */
  settle(isKept: boolean): Promise<void>;
}

export interface PolicySource {
  /** The file or URL, for people. */
  readonly name: string;
  /** Undefined: it is still the one that was accepted last. POLICY_UNREACHABLE when nobody can say. */
  fetch(): Promise<FetchedBundle | undefined>;
  /** The one that was accepted last, from before the start; undefined when there is none. */
  lookupKept(): Promise<FetchedBundle | undefined>;
}

export type OpenedPolicy =
  | {
      readonly state: 'opened';
      readonly engine: PolicyEngine;
      /** What makes it slower than it could be, for its makers. */
      readonly remarks: readonly string[];
    }
  /** It is the very bundle named by `unlessDigest`: nothing of it was looked at. */
  | { readonly state: 'unchanged' }
  /** `digest` is there when the bundle could be read at all. */
  | { readonly state: 'refused'; readonly detail: string; readonly digest?: string };

/** Reads, verifies, compiles and tests a bundle, off the loop. Never rejects for what is in it. */
export type OpenPolicy = (bundle: { file: string; unlessDigest?: string }) => Promise<OpenedPolicy>;

/** The newest revision that ever ran here; undefined when none that could be compared has. */
export interface RevisionFloor {
  readonly revision: string | undefined;
  /** On disk when it resolves. INTERNAL when it cannot be. */
  move(revision: string | undefined): Promise<void>;
}
