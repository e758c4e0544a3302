import {
  memo,
  ReactElement,
  RefObject,
  useEffect,
  useLayoutEffect,
  useMemo,
  useState
} from 'react';

import { errorText } from '../api/errors';
import { IClusterView, ILogLine } from '../api/schema';
import { formatCount, formatTime } from '../format';
import { LogModel, search } from '../model/logs';
import { TestIds } from '../testids';
import { useEnvironment } from './environment';
import { useChanging, useWatch } from './hooks';
import { Notice } from './notice';

/** The log of a cluster: it follows, and shows what one looks for. */
export function Logs(props: { readonly cluster: IClusterView }): ReactElement {
  const { clusters } = useEnvironment();
  const { id, workers } = props.cluster;
  const [model, setModel] = useState<LogModel | null>(null);
  useEffect(() => {
    const made = new LogModel({ api: clusters.api, id });
    setModel(made);
    return () => {
      made.dispose();
    };
  }, [clusters, id]);
  return (
    <div className="nbc-Logs">
      {model && (
        <LogView
          model={model}
          workers={workers.map(({ name }) => String(name))}
        />
      )}
    </div>
  );
}

function LogView(props: {
  readonly model: LogModel;
  readonly workers: readonly string[];
}): ReactElement {
  const { trans } = useEnvironment();
  const { model, workers } = props;
  const { lines, filter, loading, error } = useChanging(
    model,
    () => model.state
  );
  const [wanted, setWanted] = useState('');
  const [following, setFollowing] = useState(true);
  const found = useMemo(() => search(lines, wanted), [lines, wanted]);
  const shown = found.slice(-MOST_ROWS);
  const list = useWatch<HTMLDivElement>(model);
  useFollowing(list, following, shown);
  const sources =
    filter.worker && !workers.includes(filter.worker)
      ? [...workers, filter.worker]
      : workers;
  return (
    <>
      <div className="nbc-Bar">
        <select
          className="nbc-Select"
          aria-label={trans.__('Level')}
          data-testid={TestIds.logLevel}
          value={filter.level}
          onChange={event => {
            model.setFilter({ level: event.target.value });
          }}
        >
          <option value="">{trans.__('All levels')}</option>
          {LEVELS.map(level => (
            <option key={level} value={level}>
              {trans.__('%1 and worse', level)}
            </option>
          ))}
        </select>
        <select
          className="nbc-Select"
          aria-label={trans.__('Worker')}
          data-testid={TestIds.logWorker}
          value={filter.worker}
          onChange={event => {
            model.setFilter({ worker: event.target.value });
          }}
        >
          <option value="">{trans.__('All workers')}</option>
          {sources.map(worker => (
            <option key={worker} value={worker}>
              {trans.__('Worker %1', worker)}
            </option>
          ))}
        </select>
        <input
          type="search"
          className="nbc-Search"
          placeholder={trans.__('Search')}
          aria-label={trans.__('Search the log')}
          data-testid={TestIds.logSearch}
          value={wanted}
          onChange={event => {
            setWanted(event.target.value);
          }}
        />
        <label className="nbc-Check">
          <input
            type="checkbox"
            data-testid={TestIds.logFollow}
            checked={following}
            onChange={event => {
              setFollowing(event.target.checked);
            }}
          />
          {trans.__('Follow')}
        </label>
      </div>
      {error !== null && (
        <Notice kind="error" testId={TestIds.error}>
          {trans.__('The log cannot be read: %1.', errorText(error, trans))}
        </Notice>
      )}
      <div
        ref={list}
        className="nbc-Logs-lines"
        role="log"
        tabIndex={0}
        aria-label={trans.__('Log')}
        data-testid={TestIds.logs}
        onWheel={event => {
          // Who looks back does not want to be pulled to the end.
          if (event.deltaY < 0) {
            setFollowing(false);
          }
        }}
      >
        {shown.length < found.length && (
          <p className="nbc-Hint">
            {trans.__(
              '%1 earlier lines are not shown.',
              formatCount(found.length - shown.length)
            )}
          </p>
        )}
        {shown.map(line => (
          <Line key={line.number} line={line} />
        ))}
        {shown.length === 0 && error === null && (
          <p className="nbc-Hint">
            {loading
              ? trans.__('Reading…')
              : wanted || filter.level || filter.worker
                ? trans.__('No line is like this.')
                : trans.__('Nothing was logged yet.')}
          </p>
        )}
      </div>
    </>
  );
}

const Line = memo(function Line(props: {
  readonly line: ILogLine;
}): ReactElement {
  const { trans } = useEnvironment();
  const { time, level, source, worker, text } = props.line;
  return (
    <div
      className={`nbc-LogLine nbc-mod-${moodOf(level)}`}
      data-testid={TestIds.logLine}
      data-level={level}
      data-worker={worker ?? ''}
    >
      <time>{formatTime(time)}</time>
      <span className="nbc-LogLine-level">{level}</span>
      <span className="nbc-LogLine-source" title={source}>
        {worker === null ? source : trans.__('worker %1', worker)}
      </span>
      <span className="nbc-LogLine-text">{text}</span>
    </div>
  );
});

/** Keep the end in sight as long as `following`. */
function useFollowing(
  list: RefObject<HTMLDivElement>,
  following: boolean,
  lines: readonly ILogLine[]
): void {
  const last = lines.at(-1)?.number;
  useLayoutEffect(() => {
    if (following && list.current) {
      list.current.scrollTop = list.current.scrollHeight;
    }
  }, [list, following, last, lines.length]);
}

function moodOf(level: string): 'bad' | 'warning' | 'plain' {
  switch (level) {
    case 'CRITICAL':
    case 'ERROR':
      return 'bad';
    case 'WARNING':
    case 'STDERR':
      return 'warning';
    default:
      return 'plain';
  }
}

const LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'];

/** More rows than these make a browser slow. */
const MOST_ROWS = 1000;
