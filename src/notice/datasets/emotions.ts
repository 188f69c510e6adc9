// The seven emotions of FER-2013 as adjectives, their sentiments, and the further adjectives that NOTICE puts into
// corrupted prompts, with the emotion each is a shade of.

export const EMOTIONS = ['angry', 'disgusted', 'fearful', 'happy', 'sad', 'surprised', 'neutral'] as const;
export type Emotion = (typeof EMOTIONS)[number];

/** FER-2013's class numbers are places in `EMOTIONS`. Folders carry the noun or the adjective, in any case. */
export function emotionNamed(name: string): Emotion | undefined {
  const nouns: Record<string, Emotion> = {
    anger: 'angry',
    disgust: 'disgusted',
    fear: 'fearful',
    happiness: 'happy',
    sadness: 'sad',
    surprise: 'surprised',
  };
  const word = name.trim().toLowerCase();
  return nouns[word] ?? EMOTIONS.find((emotion) => emotion === word);
}

/** Opposing sentiment as in NOTICE's code: happiness, its only positive emotion, against the negative and neutral ones. */
export function opposing(a: Emotion, b: Emotion): boolean {
  return (a === 'happy') !== (b === 'happy');
}

const SHADES: Record<Emotion, string> = {
  angry: 'envious grumpy jealous',
  disgusted: 'scornful uncomfortable',
  fearful: 'flustered horrified insecure overwhelmed stressed',
  happy: 'amused confident content giggly grateful hopeful pleased relaxed relieved satisfied',
  sad: 'ashamed embarrassed lonely nostalgic guilty humiliated',
  surprised: 'awed shocked startled impressed',
  neutral: `bored calm confused curious disoriented distracted puzzled restless shy sincere thoughtful apathetic
    sympathetic`,
};

const core = new Map<string, Emotion>(
  EMOTIONS.flatMap((emotion) =>
    [emotion, ...SHADES[emotion].split(/\s+/)].map((word) => [word, emotion] as const),
  ),
);

/** Emotions and their shades: what may stand in for an option. */
export const FEELINGS: readonly string[] = [...core.keys()];

/** Whether two feelings are shades of the same emotion. */
export function similarFeelings(a: string, b: string): boolean {
  return core.get(a) === core.get(b);
}
