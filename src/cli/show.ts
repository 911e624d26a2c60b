/**
 * What commands print: an object, a list, a problem. JSON with `--json` or off a terminal. What others wrote is shown
 * with its control characters escaped, in JSON as well, where the escapes mean the same text.
 */
import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import type { Reply } from './client.ts';
import { objectOf, tokenProblem } from './client.ts';
import type { CliPorts } from './ports.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import { cell, table } from './terminal.ts';

interface JsonOption {
  readonly json?: boolean;
}

export function showObject(ports: CliPorts, options: JsonOption, body: JsonObject): void {
  if (options.json === true || !ports.terminal.isTerminal) ports.terminal.out(cell(body));
  else
    ports.terminal.out(
      rowsOf(body)
        .map(([name, value]) => `${name.padEnd(22)}${value}`)
        .join('\n'),
    );
}

/** `body[member]` as a table of `columns`; the whole body as JSON for programs. */
export function showList(
  ports: CliPorts,
  options: JsonOption,
  body: JsonObject,
  member: string,
  columns: readonly string[],
): void {
  const list = body[member];
  if (options.json === true || !ports.terminal.isTerminal) {
    ports.terminal.out(cell(body));
    return;
  }
  const rows = Array.isArray(list) ? list.filter(isJsonObject) : [];
  ports.terminal.out(
    rows.length === 0
      ? `no ${member}`
      : table(
          columns,
          rows.map((row) => columns.map((column) => row[column])),
        ),
  );
}

/** A problem the server answered, on standard error: its code, what is wrong and the field. */
export function explain(ports: CliPorts, reply: Reply, body = objectOf(reply)): ExitCode {
  const { code, title, detail, field } = body;
  const isSaid = typeof detail === 'string' && typeof title === 'string' && detail.startsWith(title);
  const said = [
    code,
    isSaid ? undefined : title,
    detail,
    field === undefined ? undefined : `field ${cell(field)}`,
    tokenProblem(reply),
  ].filter((part) => part !== undefined);
  // There may be no such thing at the server that was asked, and another one was meant.
  const asked = reply.status === 404 || reply.status === 405 ? ` (asked ${reply.from.url})` : '';
  ports.terminal.problem(`${reply.status}: ${said.map(cell).join(': ')}${asked}`);
  return code === 'APPEND_UNCERTAIN' ? EXIT.unknown : EXIT.error;
}

function rowsOf(body: JsonObject): [string, string][] {
  return Object.entries(body).flatMap(([name, value]): [string, string][] => {
    if (!Array.isArray(value)) return [[cell(name), cell(value)]];
    return value.map((one, i): [string, string] => [i === 0 ? cell(name) : '', cell(one)]);
  });
}
