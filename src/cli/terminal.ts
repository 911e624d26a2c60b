/** Where commands read and write. Tables for people on a terminal, JSON for programs; problems on standard error. */
export interface Terminal {
  readonly isTerminal: boolean;
  out(text: string): void;
  problem(text: string): void;
  /** The whole of standard input. */
  read(): Promise<string>;
  /** The same, as it comes. */
  bytes(): AsyncIterable<Buffer>;
}

/** Columns padded to their widest cell; values are shown with control characters made visible. */
export function table(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cells = [head, ...rows.map((row) => row.map(cell))];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** One value of somebody else's making, safe on a terminal: an escape sequence must not act. */
export function cell(value: unknown): string {
  const text = typeof value === 'string' ? value : value === undefined ? '' : JSON.stringify(value);
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
