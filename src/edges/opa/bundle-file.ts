/** The PolicySource on a file that somebody else puts there. It is read where it is, by the thread that judges it. */
import type { FetchedBundle, PolicySource } from '../../decision/policy-source.ts';

export class BundleFile implements PolicySource {
  readonly name: string;

  constructor(file: string) {
    this.name = file;
  }

  /** A file that is not there is told by who reads it. */
  fetch(): Promise<FetchedBundle> {
    return Promise.resolve(bundleInPlace(this.name));
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
