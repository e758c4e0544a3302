import { ILogLine } from '../../src/api/schema';
import { LogModel, search } from '../../src/model/logs';
import { FakeServer, until } from '../support/server';
import { cluster, ID } from '../support/views';

function line(number: number, changes: Partial<ILogLine> = {}): ILogLine {
  return {
    time: number,
    source: 'Scheduler',
    level: 'INFO',
    text: `line ${number}`,
    worker: null,
    number,
    ...changes
  };
}

describe('LogModel', () => {
  let server: FakeServer;
  let model: LogModel;

  beforeEach(() => {
    server = new FakeServer();
    server.clusters = [cluster()];
    server.log = [line(1), line(2, { level: 'ERROR', worker: 1 })];
    model = new LogModel({ api: server.api, id: ID });
  });

  afterEach(() => {
    model.dispose();
  });

  const numbers = () => model.state.lines.map(({ number }) => number);

  it('reads nothing until somebody watches', () => {
    expect(server.asked).toEqual([]);
    expect(model.state.loading).toBe(true);
  });

  it('reads the lines that there are, then those that are new', async () => {
    const watching = model.watch();
    await until(() => !model.state.loading);
    expect(numbers()).toEqual([1, 2]);
    server.log = [...server.log, line(3)];
    await until(() => numbers().length === 3);
    expect(numbers()).toEqual([1, 2, 3]);
    watching.dispose();
  });

  it('reads a long log to its end', async () => {
    server.log = Array.from({ length: 4500 }, (_, index) => line(index + 1));
    const watching = model.watch();
    await until(() => numbers().at(-1) === 4500);
    expect(numbers()).toHaveLength(4500);
    watching.dispose();
  });

  it('keeps the last lines of a log that is too long', async () => {
    server.log = Array.from({ length: 7000 }, (_, index) => line(index + 1));
    const watching = model.watch();
    await until(() => numbers().at(-1) === 7000);
    expect(numbers()).toHaveLength(5000);
    watching.dispose();
  });

  it('has the server choose the lines, and begins again with other ones', async () => {
    const watching = model.watch();
    await until(() => !model.state.loading);
    model.setFilter({ level: 'ERROR', worker: '1' });
    expect(model.state).toMatchObject({ lines: [], loading: true });
    await until(() => !model.state.loading);
    expect(numbers()).toEqual([2]);
    model.setFilter({ worker: '', level: '' });
    await until(() => numbers().length === 2);
    watching.dispose();
  });

  it('says why the log cannot be read', async () => {
    server.failure = { status: 409, message: 'it is closed' };
    const watching = model.watch();
    await until(() => model.state.error !== null);
    expect(model.state.error?.message).toBe('it is closed');
    expect(model.state.loading).toBe(false);
    watching.dispose();
  });
});

describe('search', () => {
  const lines = [line(1, { text: 'Hello' }), line(2, { source: 'unix://w7' })];

  it('finds text and source, whatever the case', () => {
    expect(search(lines, 'hELL')).toEqual([lines[0]]);
    expect(search(lines, 'W7')).toEqual([lines[1]]);
    expect(search(lines, '')).toBe(lines);
    expect(search(lines, 'nowhere')).toEqual([]);
  });
});
