import { ReactElement, ReactNode } from 'react';

import { errorText } from '../api/errors';
import { TestIds } from '../testids';
import { useEnvironment } from './environment';

/** Something that a person should know, and what can be done about it. */
export function Notice(props: {
  readonly kind: 'error' | 'info' | 'warning';
  readonly testId?: string;
  readonly children: ReactNode;
}): ReactElement {
  const { kind, testId, children } = props;
  return (
    <div
      className={`nbc-Notice nbc-mod-${kind}`}
      role={kind === 'error' ? 'alert' : 'status'}
      data-testid={testId}
    >
      {children}
    </div>
  );
}

/** What went wrong while the clusters were fetched, with a way to try again. */
export function FetchError(props: { readonly error: Error }): ReactElement {
  const { trans, clusters } = useEnvironment();
  return (
    <Notice kind="error" testId={TestIds.error}>
      <span>
        {trans.__(
          'The clusters cannot be looked up: %1.',
          errorText(props.error, trans)
        )}
      </span>
      <button
        className="nbc-LinkButton"
        data-testid={TestIds.retry}
        onClick={() => void clusters.refresh()}
      >
        {trans.__('Try again')}
      </button>
    </Notice>
  );
}
