/**
 * Which lines of a ledger nobody with a key has signed, in a file of its own beside them. They have a place in the history
 * and no effect, and a replay does not check signatures again: so it has to be known before the lines themselves are kept.
 */
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FeedLine, LinePlace } from '../../feed/entry.ts';
import { renderPosition } from '../../feed/position.ts';
import { syncDirectory } from './directory.ts';

const NAME = 'forged';

export class ForgedLines {
  readonly #directory: string;
  readonly #known: Set<string>;

  private constructor(directory: string, known: Set<string>) {
    this.#directory = directory;
    this.#known = known;
  }

  static async open(directory: string): Promise<ForgedLines> {
    const text = await readFile(join(directory, NAME), 'utf8').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
      throw error;
    });
    return new ForgedLines(directory, new Set(text.split('\n')));
  }

  has(line: LinePlace): boolean {
    return this.#known.has(nameOf(line));
  }

  /** Durable when it resolves. */
  async add(lines: readonly FeedLine[]): Promise<void> {
    const names = lines.map(nameOf);
    const file = await open(join(this.#directory, NAME), 'a', 0o600);
    try {
      // Each on a line of its own, whatever a crash has left of the last one.
      await file.writeFile(names.map((name) => `\n${name}\n`).join(''));
      await file.sync();
    } finally {
      await file.close();
    }
    await syncDirectory(this.#directory);
    for (const name of names) this.#known.add(name);
  }
}

function nameOf({ position, chain }: LinePlace): string {
  return `${renderPosition(position)} ${chain}`;
}
