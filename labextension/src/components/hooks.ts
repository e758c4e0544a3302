import { ISignal } from '@lumino/signaling';
import {
  RefObject,
  useCallback,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore
} from 'react';

import { IClustersState } from '../model/clusters';
import { useEnvironment } from './environment';

/** Read something that a signal tells about; render again when it has changed. */
export function useChanging<T>(
  source: { readonly changed: ISignal<unknown, unknown> },
  read: () => T
): T {
  const subscribe = useCallback(
    (notify: () => void) => {
      const slot = () => {
        notify();
      };
      source.changed.connect(slot);
      return () => source.changed.disconnect(slot);
    },
    [source]
  );
  return useSyncExternalStore(subscribe, read);
}

/** The clusters of the server. */
export function useClusters(): IClustersState {
  const { clusters } = useEnvironment();
  return useChanging(clusters, () => clusters.state);
}

/** Run a command of nbcluster. What goes wrong, the command itself shows. */
export function useRun(): (command: string, args?: object) => Promise<void> {
  const { commands } = useEnvironment();
  return useCallback(
    async (command, args) => {
      await commands.execute(command, { ...args });
    },
    [commands]
  );
}

/** Something that does its work only while somebody looks. */
export interface IWatchable {
  watch(): { dispose(): void };
}

/** Watch while the element is on the screen: not scrolled away, not in a hidden tab. */
export function useWatch<E extends Element>(
  watchable: IWatchable | null
): RefObject<E> {
  const element = useRef<E>(null);
  const [visible, setVisible] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver(entries => {
      setVisible(entries.at(-1)?.isIntersecting ?? false);
    });
    if (element.current) {
      observer.observe(element.current);
    }
    return () => {
      observer.disconnect();
    };
  }, []);
  useEffect(() => {
    const watching = visible ? watchable?.watch() : undefined;
    return () => watching?.dispose();
  }, [visible, watchable]);
  return element;
}

/** The time in seconds since the epoch, each second anew while it matters. */
export function useNow(matters: boolean): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    if (!matters) {
      return;
    }
    setNow(Date.now() / 1000);
    const timer = setInterval(() => {
      setNow(Date.now() / 1000);
    }, 1000);
    return () => {
      clearInterval(timer);
    };
  }, [matters]);
  return now;
}

/** A value that a person is changing, and what to do with it. */
export interface IDraft<T> {
  /** What to show. */
  readonly value: T;
  /** Take note of another value; it takes effect when no other follows soon. */
  readonly set: (value: T) => void;
  /** Have it take effect now, if it may. */
  readonly flush: () => void;
  /** Have it take effect now, or forget it. */
  readonly finish: () => void;
}

/** How long a person may hesitate, in milliseconds. */
const PAUSE = 500;

/**
 * Let a person change a value that also changes by itself.
 *
 * @param value - the value as it is
 * @param commit - have it be another one; done when that is carried out
 * @param acceptable - whether a value may take effect, or needs another change
 * @returns what to show: the person's wish until it is carried out or refused
 */
export function useDraft<T>(
  value: T,
  commit: (value: T) => Promise<void>,
  acceptable: (value: T) => boolean = () => true
): IDraft<T> {
  const [draft, setDraft] = useState<{ readonly value: T } | null>(null);
  const wish = useRef<{ readonly value: T } | null>(null);
  const wishes = useRef(0);
  const timer = useRef<ReturnType<typeof setTimeout>>();
  useEffect(
    () => () => {
      clearTimeout(timer.current);
    },
    []
  );

  const flush = async () => {
    clearTimeout(timer.current);
    const granted = wish.current;
    const number = wishes.current;
    if (granted && acceptable(granted.value)) {
      wish.current = null;
      try {
        await commit(granted.value);
      } finally {
        if (wishes.current === number) {
          setDraft(null);
        }
      }
    }
  };
  const latest = useRef(flush);
  latest.current = flush;
  return {
    value: draft ? draft.value : value,
    set: next => {
      wishes.current += 1;
      wish.current = { value: next };
      setDraft(wish.current);
      clearTimeout(timer.current);
      timer.current = setTimeout(() => void latest.current(), PAUSE);
    },
    flush: () => void flush(),
    finish: () => {
      void flush();
      if (wish.current) {
        wish.current = null;
        setDraft(null);
      }
    }
  };
}
