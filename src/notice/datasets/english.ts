// The little English that SVO-Probes' bare triplets need: "girl, sit, grass" → "the girl", "sitting", "on the grass".
// Word forms come from `compromise`; prepositions and articles from the tables below, which cover the data set's common
// verbs and places.

import nlp from 'compromise';

/** The -ing form: "sit" → "sitting", "look at" → "looking at". */
export const gerund = memoised((verb: string): string => {
  const [head = '', ...rest] = verb.split(' ');
  const found = conjugate(head).Gerund ?? head;
  // compromise leaves "picnic" as it is
  const form = found.endsWith('ing') ? found : `${head}${head.endsWith('c') ? 'k' : ''}ing`;
  return [form, ...rest].join(' ');
});

/** The forms in which a word may stand in a mended sentence, as it is first: "sit" → sit, sitting, sits. */
export function wordForms(word: string, kind: 'noun' | 'verb'): string[] {
  const forms =
    kind === 'verb'
      ? [gerund(word), conjugate(word).PresentTense]
      : [nounsOf(word).toPlural().text(), nounsOf(word).toSingular().text()];
  return [...new Set([word, ...forms.filter((form) => form !== undefined && form !== '')])] as string[];
}

/** Whether a noun or pronoun takes "are". */
export const isPlural = memoised((noun: string): boolean => {
  const head = noun.split(' ').at(-1) as string;
  if (ALWAYS_PLURAL.has(head)) return true;
  return !ALWAYS_SINGULAR.has(head) && nounsOf(head).isPlural().found;
});

function conjugate(verb: string): { Gerund?: string; PresentTense?: string } {
  const document = nlp(verb);
  document.tag('Verb');
  return document.verbs().conjugate()[0] ?? {};
}

function nounsOf(noun: string): ReturnType<ReturnType<typeof nlp>['nouns']> {
  const document = nlp(noun);
  document.tag('Noun');
  return document.nouns();
}

/** "the girl"; pronouns go without. */
export function subjectPhrase(noun: string): string {
  return PRONOUNS.has(noun) ? noun : `the ${noun}`;
}

/**
 * What comes between a verb and the head of its object: "on the", "the", or nothing ("playing tennis"). A verb that the
 * tables do not know is taken to have a direct object.
 */
export function objectPrefix(verb: string, object: string): string {
  const article = withoutArticle(verb, object) ? '' : 'the';
  return [preposition(verb, object), article].filter(Boolean).join(' ');
}

/** compromise takes about a millisecond a word, and a data set asks for the same few hundred again and again. */
function memoised<T>(of: (word: string) => T): (word: string) => T {
  const known = new Map<string, T>();
  return (word) => {
    const found = known.get(word);
    if (found !== undefined) return found;
    const value = of(word);
    known.set(word, value);
    return value;
  };
}

function withoutArticle(verb: string, object: string): boolean {
  if (PRONOUNS.has(object) || object === 'music') return true;
  return (SPORTS.has(object) && SPORT_VERBS.has(verb)) || (MEALS.has(object) && MEAL_VERBS.has(verb));
}

function preposition(verb: string, object: string): string {
  const phrase = PHRASES.get(`${verb} ${object}`);
  if (phrase !== undefined) return phrase;
  const noun = object.split(' ').at(-1) as string;
  const place = PLACES.get(noun);
  const fixed = FIXED.get(verb);
  if (fixed) return fixed;
  if (PLACE_OR_THING.has(verb)) return place ?? (verb === 'play' && ANIMATE.has(noun) ? 'with' : '');
  if (!INTRANSITIVE.has(verb)) return '';
  return place ?? SUPPORTS.get(noun) ?? (ANIMATE.has(noun) ? 'with' : 'by');
}

const set = (words: string): Set<string> => new Set(words.trim().split(/\s+/));
/** "on: grass sand; in: water" → grass → on, sand → on, water → in */
const table = (text: string): Map<string, string> =>
  new Map(
    text.split(';').flatMap((group) => {
      const [value = '', words = ''] = group.split(':');
      return [...set(words)].map((word) => [word.replaceAll('_', ' '), value.trim()] as const);
    }),
  );

const PRONOUNS = set(
  'he she it they we you him her them us someone somebody everyone everybody something nothing',
);
const ALWAYS_PLURAL =
  set(`they we you people police cattle scissors glasses sunglasses goggles pants trousers jeans
  shorts tights clothes stairs feet teeth geese mice`);
const ALWAYS_SINGULAR = set(
  'tennis gymnastics news bus gas lens canvas grass glass dress christmas series chess',
);

const SPORTS =
  set(`tennis soccer football basketball baseball softball volleyball golf hockey rugby cricket badminton
  polo lacrosse chess poker yoga karate judo ping-pong`);
const SPORT_VERBS = set('play practice watch do learn teach');
const MEALS = set('breakfast lunch dinner supper brunch');
const MEAL_VERBS = set('eat have cook prepare make serve enjoy');

const ANIMATE =
  set(`person man woman boy girl child kid baby toddler infant couple family friend mother father mom dad
  parent son daughter brother sister grandmother grandfather group team people men women children kids lady guy teenager
  dog cat puppy kitten horse animal bird player dancer bride groom husband wife teacher student`);

/** Verbs that reach their object with a preposition of place or of company. */
const INTRANSITIVE =
  set(`sit stand lie lay walk run jog jump hop leap lean rest relax pose float swim sleep nap dance
  travel hike camp ski skate skateboard snowboard sled slide fish crawl kneel crouch squat perch hang gather graze wander
  stroll march sprint live stay appear fall land sunbathe picnic meditate exercise bathe bask glide roam go come move step
  bike paddle wade splash shop work laugh sneak hide rush trek grow bloom die dig`);
/** Verbs of which a place says where ("play … in the park") and any other object what ("play … the guitar"). */
const PLACE_OR_THING =
  set(`play drive fly sail row eat drink read cook celebrate train practice study cycle sing perform
  ride surf kiss hug smoke draw write race stop`);
const FIXED =
  table(`at: look stare gaze glance smile point bark shout; to: talk speak listen; for: wait reach search;
  into: dive; with: argue fight flirt chat`);

const PLACES =
  table(`on: beach sand shore coast seashore grass lawn ground floor street road highway sidewalk pavement path
    trail track pathway runway mountain hill hillside cliff slope pier dock bridge stage island court terrace balcony porch
    rooftop roof farm deck;
  in: water sea ocean lake river pond pool stream field meadow forest wood woods park garden yard backyard jungle desert
    snow rain mud sky air fog city town village room kitchen bedroom bathroom office house home restaurant cafe gym
    classroom school library hospital church store shop mall market studio stadium crowd dark countryside valley tunnel
    cave tent vineyard orchard sunlight shade corridor hallway;
  at: party concert wedding festival airport station zoo playground sunset sunrise dusk dawn night`);
const SUPPORTS =
  table(`on: chair bench couch sofa bed rock stone log stairs step steps ladder horse camel elephant bike
    bicycle motorcycle scooter skateboard snowboard surfboard board boat ship raft train bus plane branch roof mat blanket
    towel carpet rug pillow swing platform stool phone ice leaf lap;
  in: car truck hammock bathtub tub armchair basket box cage wheelchair costume dress suit uniform hat;
  at: table desk computer laptop piano bar counter window door;
  against: wall fence`);

const PHRASES =
  table(`: walk_dog walk_dogs run_race run_marathon jump_rope fly_kite dance_ballet dance_tango hang_picture
    hang_clothes grow_plant stretch_leg;
  over: jump_fence jump_hurdle jump_bar jump_wall jump_obstacle fly_sea fly_ocean fly_beach fly_city fly_mountain fly_field;
  into: jump_water jump_pool jump_lake jump_sea jump_river; across: run_bridge walk_bridge; up: walk_stairs run_stairs;
  on: lie_table lay_table float_water float_sea float_lake sail_sea sail_ocean sail_lake sail_river; to: dance_music; on: talk_phone speak_phone;
  in: lie_bed sleep_bed lay_bed rest_bed stand_boat sit_boat; under: sit_umbrella stand_umbrella; with: walk_umbrella`);
