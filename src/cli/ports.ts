/** What every command is given. */
import type { ExitCode } from './exit.ts';
import type { Surroundings } from './server-options.ts';
import type { Terminal } from './terminal.ts';

export interface CliPorts {
  readonly terminal: Terminal;
  readonly around: Surroundings;
  /** Runs one command's body and keeps its exit code. */
  readonly run: (body: () => Promise<ExitCode>) => Promise<void>;
}
