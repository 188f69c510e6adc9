// The page: what stays in view at the left (model, pair, what is pinned), one view at a time at the right.

import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { keepAddress, startFromAddress } from './state/address.ts';
import { begun, busy } from './state/app.ts';
import { followPair } from './state/follow-pair.ts';
import { forgetMany } from './state/many.ts';
import { forgetPaint } from './state/painting.ts';
import { patchAlong } from './state/patched.ts';
import { undoKeys } from './state/pins.ts';
import { sweepAlong } from './state/sweep.ts';
import { forgetWithModel } from './state/usable.ts';
import { AnswerPanel } from './views/answer-panel.tsx';
import { AttentionPanel } from './views/attention-panel.tsx';
import { BenchPanel } from './views/bench-panel.tsx';
import { type Tab, Tabs } from './views/layout.tsx';
import { LensPanel } from './views/lens-panel.tsx';
import { ModelPanel } from './views/model-panel.tsx';
import { PairPanel } from './views/pair-panel.tsx';
import { PairsPanel } from './views/pairs-panel.tsx';
import { PatchBar } from './views/patch-bar.tsx';
import { PinsPanel } from './views/pins-panel.tsx';
import { ProblemView } from './views/problem.tsx';
import { ShareButton } from './views/share-button.tsx';
import { SweepPanel } from './views/sweep-panel.tsx';
import { TakeAwayPanel } from './views/take-away-panel.tsx';
import { ThemeSwitch } from './views/theme-switch.tsx';

const TABS: readonly Tab[] = [
  { id: 'maps', title: 'Maps', panel: SweepPanel },
  { id: 'attention', title: 'Attention', panel: AttentionPanel },
  { id: 'lens', title: 'Logit lens', panel: LensPanel },
  { id: 'answers', title: 'Answers', panel: AnswerPanel },
  { id: 'pairs', title: 'On n pairs', panel: PairsPanel },
  { id: 'bench', title: 'This device', panel: BenchPanel },
];

export function App(): JSX.Element {
  useEffect(() => {
    for (const follow of [
      followPair,
      patchAlong,
      sweepAlong,
      forgetMany,
      forgetPaint,
      forgetWithModel,
      undoKeys,
      keepAddress,
    ])
      follow();
    void startFromAddress();
  }, []);
  return (
    <>
      <header class="page-head">
        <h1>NOTICE explorer</h1>
        <p role="status">{busy.value}</p>
        <ShareButton />
        <ThemeSwitch />
      </header>
      <ProblemView />
      <main class="page">
        {begun.value && (
          <>
            <div class="side">
              <ModelPanel />
              <PairPanel />
            </div>
            <div class="side patch-side">
              <PinsPanel />
              <TakeAwayPanel />
            </div>
            <Tabs tabs={TABS} />
          </>
        )}
      </main>
      <PatchBar />
    </>
  );
}
