import { KeyboardEvent, ReactElement, useId, useRef, useState } from 'react';

/** One tab, and what it shows while it is chosen. */
export interface ITab {
  readonly testId: string;
  readonly label: string;
  readonly content: () => ReactElement;
}

/** Several views of one thing, one at a time; the arrow keys go from one to the next. */
export function Tabs(props: {
  readonly label: string;
  readonly tabs: readonly ITab[];
}): ReactElement {
  const { label, tabs } = props;
  const id = useId();
  const [wanted, choose] = useState(0);
  const bar = useRef<HTMLDivElement>(null);
  const chosen = Math.min(wanted, tabs.length - 1);
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step !== undefined) {
      const next = (chosen + step + tabs.length) % tabs.length;
      choose(next);
      bar.current?.querySelectorAll<HTMLElement>('[role=tab]')[next]?.focus();
    }
  };
  return (
    <>
      <div
        ref={bar}
        className="nbc-Tabs"
        role="tablist"
        aria-label={label}
        onKeyDown={onKeyDown}
      >
        {tabs.map((tab, index) => (
          <button
            key={tab.testId}
            id={`${id}-${tab.testId}`}
            className="nbc-Tab"
            role="tab"
            data-testid={tab.testId}
            aria-selected={index === chosen}
            aria-controls={`${id}-panel`}
            tabIndex={index === chosen ? 0 : -1}
            onClick={() => {
              choose(index);
            }}
          >
            {tab.label}
          </button>
        ))}
      </div>
      <div
        id={`${id}-panel`}
        className="nbc-TabPanel"
        role="tabpanel"
        aria-labelledby={`${id}-${tabs[chosen]?.testId ?? ''}`}
      >
        {tabs[chosen]?.content()}
      </div>
    </>
  );
}
