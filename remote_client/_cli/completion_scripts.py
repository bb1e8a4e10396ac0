"""The scripts that make shells complete the command. Each asks the command itself, so that none is ever out of date.

`remote-client __complete` takes `line` and the line up to the cursor, or `words` and the words after the command's
name, of which the last is completed. It prints a candidate a line, with its description after a tab. A line that begins
with `FILES` asks for the shell's own completion of files; the word's prefix that is no part of a file's name follows a
tab.
"""

from __future__ import annotations

QUESTION = "__complete"
"""The first argument of a script's question."""
FILES = "\x1efiles"
"""Not with cyclopts's own control character, which it takes from candidates."""

# Readline replaces only what follows a `:`, `=` or `@`, as these end words in `COMP_WORDBREAKS`. So the line is sent
# whole, and candidates lose the beginning that stays (`$begin`).
_BASH = r"""# bash completion of remote-client: eval "$(remote-client completion bash)" in ~/.bashrc
_remote_client() {
  local line=${COMP_LINE:0:COMP_POINT} command=${1-remote-client} value description quoted file
  local replaced=${2-${COMP_WORDS[COMP_CWORD]}}
  [[ -n $line ]] || line="${COMP_WORDS[*]:0:COMP_CWORD+1}"  # for functions that complete the words of others
  local word=${line##*[[:space:]]}
  local begin=${word%"$replaced"}
  type -P "$command" >/dev/null || command=remote-client
  COMPREPLY=()
  while IFS=$'\t' read -r value description; do
    if [[ $value == $'\x1efiles' && $replaced == "${word#"$description"}" ]]; then
      compopt -o default 2>/dev/null
      return
    elif [[ $value == $'\x1efiles' ]]; then
      compopt -o nospace 2>/dev/null
      while IFS= read -r file; do
        printf -v quoted '%q' "$file"
        [[ -d $file ]] && quoted+=/ || quoted+=" "
        COMPREPLY+=("${description#"$begin"}$quoted")
      done < <(compgen -f -- "${word#"$description"}")
      return
    fi
    [[ $value == *[=@.] ]] && compopt -o nospace 2>/dev/null
    printf -v quoted '%q' "${value#"$begin"}"
    COMPREPLY+=("$quoted")
  done < <("$command" __complete line "$line" 2>/dev/null)
}
complete -F _remote_client remote-client
"""

_ZSH = r"""#compdef remote-client
# zsh completion of remote-client: source <(remote-client completion zsh) in ~/.zshrc after compinit, or this file as
# _remote-client in a folder of $fpath
_remote_client() {
  local line value command=${words[1]}
  local -a values shown open_values open_shown
  (( $+commands[$command] )) || [[ -x $command ]] || command=remote-client
  for line in "${(@f)$($command __complete words "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
    value=${line%%$'\t'*}
    if [[ $value == $'\x1efiles' ]]; then
      value=${line#*$'\t'}
      compset -p ${#value}
      _files
      return
    fi
    [[ -n $value ]] || continue
    [[ $line == *$'\t'* ]] && line="$value -- ${line#*$'\t'}"
    if [[ $value == *[=@.] ]]; then
      open_values+=("$value") open_shown+=("$line")
    else
      values+=("$value") shown+=("$line")
    fi
  done
  (( $#open_values )) && compadd -S '' -l -d open_shown -a open_values
  (( $#values )) && compadd -l -d shown -a values
}
if [[ $funcstack[1] == _remote-client ]]; then
  _remote_client "$@"
else
  compdef _remote_client remote-client
fi
"""

_FISH = r"""# fish completion of remote-client: remote-client completion fish | source in ~/.config/fish/config.fish
function __remote_client_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l command $words[1]
    type -q $command; or set command remote-client
    for line in ($command __complete words $words[2..] "$word" 2>/dev/null)
        set -l parts (string split -m 1 \t -- $line)
        if test "$parts[1]" = \x1efiles
            set -l begin "$parts[2]"
            for path in (__fish_complete_path (string sub -s (math (string length -- "$begin") + 1) -- "$word"))
                printf '%s\n' "$begin$path"
            end
        else
            printf '%s\n' $line
        end
    end
end
complete -c remote-client -f -a '(__remote_client_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
"""Shell -> its script."""
