/** The PolicySource on a file that somebody else puts there. It is read where it is, by the thread that judges it. */
import { access, constants } from 'node:fs/promises';
import { WritError } from '../../kernel/error.ts';
import type { FetchedBundle, PolicySource } from '../../decision/policy-source.ts';

export class BundleFile implements PolicySource {
  readonly name: string;

  constructor(file: string) {
    this.name = file;
  }

  /** POLICY_UNREACHABLE when there is none. */
  async fetch(): Promise<FetchedBundle> {
    try {
      await access(this.name, constants.R_OK);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      throw new WritError('POLICY_UNREACHABLE', `the bundle cannot be read (${String(code)})`, { cause });
    }
    return bundleInPlace(this.name);
  }

  /** It is kept where it is. */
  lookupKept(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
}

/** One that stays where it is, whatever becomes of it. */
export function bundleInPlace(file: string): FetchedBundle {
  const nothingToDo = (): Promise<void> => Promise.resolve();
  return { file, keep: nothingToDo, settle: nothingToDo };
}
