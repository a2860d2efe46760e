"""What an order to a model looks like in English: how much it tells, what, how it begins, and how it goes on."""

from __future__ import annotations

from typing import Final

_AI: Final = (
    r"(?:a\.?i\.?(?: \w+)?|llms?|(?:large )?language models?|(?:ai |virtual )?assistants?|chat ?bots?|ai-\w+"
    r"|(?:ai |automated )?agents?|bots?|copilots?|(?:chat)?gpt[\w.-]*|claude|gemini"
    r"|automated (?:systems?|reviewers?|tools?)|models?|summari[sz]ers?)"
)
_WHO: Final = (
    "users? humans? persons? people anyone anybody nobody operators? reviewers? owners? customers? supervisors? them"
)
_PERSON: Final = f"(?:{_WHO.replace(' ', '|')})"
_RULES: Final = (
    r"(?:instructions?|prompts?|rules?|guidelines?|directives?|commands?|orders?|guardrails?|restrictions?|constraints?"
    r"|programming|polic(?:y|ies)|training|safeguards?|tasks?|messages?|directions?|context)"
)
_EARLIER: Final = (
    "previous previously prior above earlier preceding former existing original initial all any every your system "
    "safety those these other past"
)
_BEFORE: Final = f"(?:{_EARLIER.replace(' ', '|')})"
_ANY: Final = r"(?:the |any |all |every |whichever |whatever )?"
_REPLY: Final = r"(?:answer|summary|report|response|reply|output|review|analysis|message|text)s?"
PLACE: Final = r"(?:https?://|www\.|[\w.+-]+@[\w-]+\.\w|\[(?:EMAIL|PHONE|IBAN)_\d)"
_SENSITIVE: Final = (
    r"(?:system prompt|instructions|initial prompt|prompt|rules|api keys?|passwords?|credentials|secrets)"
)

DROPS: Final = "tells its reader to drop its instructions"
ROLE: Final = "gives its reader another role or task"
LABEL: Final = "looks like a message of another role"
CALL: Final = "looks like a call of a tool"
SPEAKS: Final = "speaks to the model that reads it"
KEEPS: Final = "tells its reader to keep something from people"
SENDS: Final = "tells its reader to send something somewhere"
PASSES: Final = "tells its reader to let something pass"
VERDICT: Final = "sets the verdict"
SAYS: Final = "dictates what to say"

Cue = tuple[int, str, str, str]
"""How much it tells, what it tells, the words or marks it may begin with, a pattern.

The pattern of a word goes on after the word; `^` before the words: only where a line or sentence opens."""

BY_WORD: Final[tuple[Cue, ...]] = (
    (
        *(3, DROPS, "ignore ignoring disregard disregarding forget bypass neglect"),
        rf"\b[^.;\n]{{0,40}}?\b{_BEFORE}\b[^.;\n]{{0,30}}?\b{_RULES}\b",
    ),
    (
        *(3, DROPS, "ignore disregard forget"),
        r" (?:\w+ ){0,2}?(?:everything|all|anything|what(?:ever)?)\b[^.\n]{0,30}?"
        r"\b(?:above|before|said|told|so far|you (?:know|were|have|learned)|else)\b",
    ),
    (
        *(3, DROPS, "do don stop never pay set"),
        r"(?: not|['’]t)? (?:(?:follow|obey)(?:ing)?|(?<=pay )no attention to|(?<=set )aside)\b"
        rf"(?<!do follow)(?<!do obey)[^.;\n]{{0,40}}?\b{_BEFORE}\b[^.;\n]{{0,30}}?\b{_RULES}\b",
    ),
    (
        *(3, DROPS, "override overrides overrule cancel void supersede replace"),
        rf"\b[^.\n]{{0,20}}?\b(?:your|any|all) (?:\w+ )?{_RULES}\b",
    ),
    (
        *(3, DROPS, _EARLIER),
        rf" {_RULES}[^.\n]{{0,20}}? (?:(?:is|are|was|were|(?:has|have) been) (?:now )?"
        r"(?:void|obsolete|cancell?ed|outdated|revoked"
        rf"|no longer valid)"
        r"|no longer appl(?:y|ies))\b",
    ),
    (
        *(3, ROLE, "you"),
        r" are (?:now [^.\n]{0,40}?\b(?:assistants?|agents?|ai|bot|model|mode|hacker|admin\w*|dan)\b"
        r"|no longer (?:bound|restricted|required|an?\b|limited|subject))",
    ),
    (
        *(3, ROLE, "enter enable activate switch switching go"),
        r"\b(?: in)?(?:to)? (?:\w+ )?(?:developer|admin|god|unrestricted|jailbreak|maintenance|dan|root|sudo) mode",
    ),
    (
        *(3, ROLE, "your"),
        r" (?:new|real|actual|true|only|updated|primary) (?:task|goal|job|instructions?|objective|purpose|mission|role"
        r"|orders?) (?:is|are)\b",
    ),
    (
        *(3, ROLE, "pretend imagine act roleplay"),
        r"\b[^.\n]{0,20}?\byou (?:are|have|were)\b[^.\n]{0,40}?\b(?:no (?:rules|restrictions|limits)|unrestricted"
        r"|admin\w*|root)",
    ),
    (
        *(2, "announces new instructions", "new updated revised real additional special"),
        r" (?:system )?(?:instruction|task|objective|order|directive|prompt)s?\s*:",
    ),
    (
        *(2, "sets how its reader behaves from now on", "from henceforth"),
        r"(?: now on| this point on(?:wards?)?|(?<=henceforth))\b,? (?:you|your|always|only|never"
        r"|respond|answer|all|every)",
    ),
    (
        *(2, SPEAKS, "attention note notice message instruction instructions reminder memo hint important warning ps"),
        rf"[\s,:!.]*(?:(?:to|for) {_ANY}{_AI}\b(?![\w'-])|{_ANY}{_AI}\s?[,:!])",
    ),
    (2, SPEAKS, "hello hi hey dear", rf"[\s,]+{_ANY}{_AI}\b(?![\w'-])"),
    (
        *(2, SPEAKS, "any all every the whatever which whichever reviewers readers"),
        rf" (?:using )?{_AI}\b:?(?: (?:who |that |which )?(?:is |are )?(?:currently )?"
        r"(?:read|process|summari|analy|review|pars|index|us)(?:s|es|ing|z?ing|sing|e|zing|yzing|ysing)\b|(?<=:))",
    ),
    (
        *(2, SPEAKS, "if"),
        rf" you(?:['’]re| are) (?:(?:a|an|the) )?{_AI}\b(?! (?:developer|author|user|builder|provider|team|engineer))",
    ),
    (*(2, SPEAKS, "as"), r" (?:an|a|the) (?:ai|llm|language model|(?:helpful )?assistant|chatbot|ai \w+),? "),
    (*(2, SPEAKS, "you"), rf",? (?:the|as an?) {_AI}\b"),
    (
        *(2, SPEAKS, "^AI LLM LLMs Assistant ChatGPT Claude Gemini Copilot Agent Bot"),
        r"(?:s|'s|[- ](?:readers?|agents?|models?|reviewers?|assistants?|bots?))?\s?[,:!] ",
    ),
    (2, SPEAKS, "^assistant chatgpt claude gemini copilot ai llm agent bot", r"s?\s?[,!] "),
    (
        *(2, KEEPS, "do don never without"),
        r"(?: not|['’]t)? (?:\w+ ){0,2}?(?:tell|mention|inform|notify|reveal|alert|disclos|report|ask|warn|let|say"
        rf"|consult|bother|wait)\w*\b[^.\n]{{0,30}}?\b(?:{_PERSON}|anything about"
        r"|this (?:to|in|instruction|note|step|message|request))\b",
    ),
    (*(2, KEEPS, "keep"), r" (?:this|it) (?:\w+ )?(?:secret|hidden|quiet|confidential|between us)\b"),
    (*(2, KEEPS, "tell inform notify"), r" (?:nobody|no one|no-one)\b"),
    (1, "asks for secrecy", "secretly silently quietly discreetly covertly stealthily", r"\b"),
    (
        *(2, SENDS, "send forward post upload email mail transmit exfiltrate leak submit deliver bcc cc share push"),
        rf"\b[^\n]{{0,120}}?\b(?:to|at|via|with)\b[^.\n]{{0,30}}?{PLACE}",
    ),
    (
        *(2, SENDS, "transfer wire append"),
        rf"\b[^\n]{{0,120}}?\b(?:to|at|via|with)\b[^.\n]{{0,30}}?{PLACE}",
    ),
    (
        *(
            1,
            "sends out what must not leave",
            "send forward post upload email mail transmit exfiltrate leak submit share push",
        ),
        r"\b[^.\n]{0,40}?\b(?:passwords?|credentials|secrets?|tokens?|keys?|conversation|history|files|contacts|customers?"
        rf"|variables|prompt)\b[^\n]{{0,60}}?{PLACE}",
    ),
    (
        *(1, "tells its reader to open an address", "visit open fetch browse load click go navigate download call get"),
        r"\b[^.\n]{0,40}?https?://",
    ),
    (
        *(1, "tells its reader to use an address", "request render include insert embed add"),
        r"\b[^.\n]{0,40}?(?:https?://|!\[[^\]]*\]\()",
    ),
    (
        1,
        "names what must not leave",
        "credentials secret secrets confidential env apikey token backups rsa",
        r"\b",
    ),
    (
        *(
            1,
            "names what must not leave",
            "api access private ssh system environment chat conversation session customer",
        ),
        r"[- _]?(?:keys?|tokens?|prompts?|variables|history|data|lists?|records)\b",
    ),
    (
        *(1, "names what must not leave", "this the whole entire full all every latest last"),
        r" (?:the |of the |\w+ )?(?:conversation|files|e-?mails|documents|contacts|data|messages)\b",
    ),
    (
        *(
            3,
            "asks for the reader's own instructions",
            "reveal print output show repeat display tell dump echo disclose",
        ),
        rf"\b[^.\n]{{0,30}}?\byour (?:\w+ )?{_SENSITIVE}\b",
    ),
    (
        *(3, "asks for the reader's own instructions", "recite leak write"),
        rf"\b[^.\n]{{0,30}}?\byour (?:\w+ )?{_SENSITIVE}\b",
    ),
    (
        *(1, "speaks of duty", "you"),
        r" (?:must|shall|have to|need to|should|will|are (?:required|obliged|instructed|ordered|asked|to))\b",
    ),
    (1, "speaks of duty", "mandatory", r"\b"),
    (
        *(1, "speaks of duty", "ai llm llms model models assistant assistants agent agents chatbot"),
        r" (?:must|shall|should|has to|have to|needs? to|(?:is|are) (?:required|instructed|asked|requested))\b",
    ),
    (1, "presses its reader", "immediately urgent urgently now asap mandatory", r"\b"),
    (1, "presses its reader", "right at first without", r" (?:away|once|of all|delay)\b"),
    (
        *(1, "presses its reader", "before"),
        r" (?:answering|continuing|responding|proceeding|anything else|doing anything|summari[sz]ing"
        r"|you (?:answer|continue|respond|proceed|summari[sz]e|do))\b",
    ),
    (
        *(1, "names a tool to call", "call invoke use run execute trigger"),
        r" (?:the |a |your )?[`'\"“]?(?:[a-z]+_[a-z_]+|[\w-]+[`'\"”]? (?:tool|function|action|command)\b"
        r"|(?:shell|terminal|bash|this (?:command|code|script)|the following))",
    ),
    (
        *(
            2,
            "claims that somebody allowed it",
            "user owner admin administrator developer ceo operator supervisor boss",
        ),
        r" (?:has |have |had )?(?:already |explicitly |just )?(?:asked|wants?|approved|authori[sz]ed"
        r"|requested|consented"
        r"|instructed|agreed|permitted|confirmed)\b",
    ),
    (2, "claims that somebody allowed it", "pre already", r"(?:-| been |-?| )(?:approved|authori[sz]ed)\b"),
    (2, "claims that somebody allowed it", "preapproved preauthorized preauthorised", r"\b"),
    (2, "claims that somebody allowed it", "system", r" override\b"),
    (
        *(2, PASSES, "approve accept authorize authorise confirm merge grant whitelist"),
        r"\b[^.\n]{0,40}?\b(?:automatically|without (?:\w+ )?(?:review|asking|approval|confirmation|checking|questions)"
        r"|immediately|regardless|unconditionally|right away)\b",
    ),
    (
        *(2, PASSES, "skip bypass omit"),
        r"\b[^.\n]{0,20}?\b(?:review|approval|confirmation|checks|verification|gate)\b",
    ),
    (
        *(2, PASSES, "no auto"),
        r"(?:-approve| (?:approval|confirmation|review) (?:is )?(?:needed|required|necessary))\b",
    ),
    (*(2, PASSES, "mark"), r" (?:\w+ ){1,4}?as (?:accepted|approved|passed|safe|reviewed|resolved|done)\b"),
    (
        *(2, VERDICT, "give rate score assign award rank recommend consider evaluate describe present list"),
        r"\b[^.\n]{0,50}?\b(?:10/10|5/5|five stars?|(?:the )?highest (?:possible )?(?:score|rating"
        r"|rank\w*|marks?|grade)"
        r"|positive (?:review|rating|score|evaluation)s?|perfect score|full marks|first place|strong accept"
        r"|first\b(?! \w)"
        r"|(?:top|best|strongest|ideal) (?:candidate|choice|option|vendor|product))\b",
    ),
    (
        *(2, VERDICT, "do don never"),
        r"(?: not|['’]t)? (?:highlight|mention|list|include|report|point out)\b[^.\n]{0,30}?"
        r"\b(?:negatives?|weakness\w*|criticisms?|flaws|problems|risks|downsides|limitations|competitors?)\b",
    ),
    (2, VERDICT, "positive", r" reviews? only\b"),
    (
        *(2, SAYS, "say reply respond answer output print write state claim conclude append insert add include begin"),
        r"\b[^.\n]{0,40}?\b(?:only|exactly|verbatim|nothing but|the (?:words?|phrase|sentence|text|line|following)|that"
        r"|with)\b:? ?[\"'“‘«`]",
    ),
    (*(2, SAYS, "begin start end finish preface conclude"), rf" (?:your|every|each) (?:\w+ )?{_REPLY}\b"),
    (1, "speaks of the reader's answer", "in", rf" (?:your|every|each|any|all) (?:\w+ )?{_REPLY}\b"),
    (
        *(1, "speaks of the reader's answer", "when whenever"),
        r" (?:asked|summari[sz]ing|answering|responding|(?:the|a) user asks"
        r"|you (?:are )?(?:asked|summari[sz]e|answer|read|process|respond))\b",
    ),
    (
        *(1, "orders destruction", "delete erase wipe drop remove destroy overwrite disable shut turn"),
        r"\b[^.\n]{0,30}?\b(?:all|every|entire|database|backups?|logs?|audit|tables?|repository|safety"
        r"|security|checks?)\b",
    ),
    (1, "orders destruction", "rm", r" -rf\b"),
    (1, "orders destruction", "curl wget", r"\b[^\n]{0,100}?\|\s*(?:ba|z)?sh\b"),
    (
        *(2, "orders a payment", "transfer wire send pay refund donate"),
        r"\b[^.\n]{0,30}?(?:[$€£]\s?\d|\b\d[\d.,]* ?(?:usd|eur|dollars|euros|btc|eth"
        r"|bitcoin)\b)[^.\n]{0,40}?\b(?:to|into)\b",
    ),
    # Role labels at the beginning of a line.
    (
        *(2, LABEL, "^system developer admin administrator operator root security"),
        r"[ _-](?:message|prompt|note|override|notice|instructions?|alert|command|update)\b[^\w\n]{0,4}[:\]>*-]",
    ),
    (2, LABEL, "^SYSTEM System ADMIN DEVELOPER ASSISTANT Assistant", r"\s{0,2}[:\]]"),
    (1, LABEL, "^system", r"\s?:\s"),
    (2, LABEL, "^instruction instructions", r":\s"),
    (
        *(3, "asks for the reader's own instructions", "repeat print output translate copy"),
        r" (?:\w+ ){0,3}?(?:text|words|everything|lines|content|message)s? above\b",
    ),
    (
        3,
        DROPS,
        "rather instead",
        r" (?:than|of) (?:what|the things?|doing what)? ?(?:your|the) (?:user|operator|owner)\b",
    ),
    (
        1,
        "gives an order for later",
        "when once after",
        r" (?:you are|you're|you have|reading|finishing) (?:done|finished|this)?",
    ),
    (1, "speaks of a model", "ai llm llms assistant chatbot chatgpt gpt bots", r"\b"),
    (3, LABEL, "^begin start end", r" (?:of )?system (?:prompt|message)"),
    (3, CALL, "^action", r":\s*\w+\s*\n+action input:"),
)

BY_MARK: Final[tuple[Cue, ...]] = (
    (
        *(3, LABEL, "<| [INST [/INST <<SYS"),
        r"<\|(?:im_start|im_end|system|user|assistant|start_header_id|eot_id|endoftext|end|channel|message)\|>"
        r"|\[/?INST\]|<</?SYS>>",
    ),
    (
        *(3, LABEL, "<system </system <assistant </assistant <human </human"),
        r"</?(?:system|assistant|human)(?:[-_ ](?:prompt|message|reminder|instructions?))?>",
    ),
    (
        *(3, CALL, "<tool_ </tool_ <function <invoke <"),
        r"</?(?:tool_calls?|function_calls?|invoke|tool_use|antml:\w+|function=\w+)\b[^>\n]{0,80}>",
    ),
    (
        *(3, CALL, '"arguments" "args" "parameters" "input" "tool_input" "action_input"'),
        r"\{\s*\"(?:name|tool|function|action)\"\s*:\s*\"[\w.-]+\"\s*,\s*"
        r"\"(?:arguments|args|parameters|input|tool_input|action_input)\"\s*:",
    ),
)
