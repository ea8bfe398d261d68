// Print what GitHub's own matcher finds: a JSON list of queries in, a JSON list of results out.
import {create, hashFiles} from '@actions/glob'
import {readFileSync} from 'node:fs'

const answer = async ({patterns, descendants, hidden}) => {
  try {
    const options = {implicitDescendants: descendants, excludeHiddenFiles: !hidden}
    const globber = await create(patterns, options)
    const inside = (await hashFiles(patterns)) !== ''
    return {paths: (await globber.glob()).sort(), searchPaths: globber.getSearchPaths(), inside}
  } catch (error) {
    return {error: error.message}
  }
}
const queries = JSON.parse(readFileSync(0, 'utf-8'))
const answers = []
for (const query of queries) answers.push(await answer(query))
process.stdout.write('\n' + JSON.stringify(answers) + '\n')
