"""What an order to a model looks like in other languages: to drop its instructions, and the commonest others."""

from __future__ import annotations

from typing import Final

from signoff.agents.safety.injection_patterns import DROPS, KEEPS, PLACE, ROLE, SENDS, SPEAKS, Cue

BY_WORD: Final[tuple[Cue, ...]] = (
    (
        *(3, DROPS, "ignoriere ignoriert vergiss vergesst missachte befolge beachte"),
        r"\b[^.\n]{0,40}?(?:anweisung|anleitung|befehl|regel|vorgabe|instruktion|richtlinie|bisherige|prompt)",
    ),
    (
        *(3, DROPS, "ignore ignorez oublie oubliez tenez tiens fais faites"),
        r"\b[^.\n]{0,40}?(?:instruction|consigne|règle|directive|ordres\b|qui précède|précédent)(?<!rule)",
    ),
    (
        *(3, DROPS, "ignora ignore ignoren ignorad olvida olvide omite descarta desestima sigas caso"),
        r"\b[^.\n]{0,40}?(?:instrucci|órdenes|reglas|indicaci|directivas|anterior)",
    ),
    (
        *(3, DROPS, "ignora ignorate dimentica dimenticate trascura "),
        r"\b[^.\n]{0,40}?(?:istruzion|regole|ordini|direttiv|precedent)",
    ),
    (
        *(3, DROPS, "ignore ignora ignorar ignorem esqueça esquece desconsidere desconsidera siga"),
        r"\b[^.\n]{0,40}?(?:instruç|regras|ordens|diretriz)",
    ),
    (*(3, DROPS, "negeer vergeet"), r"\b[^.\n]{0,40}?(?:instructie|regels|opdracht|aanwijzing)"),
    (
        *(3, DROPS, "zignoruj ignoruj zapomnij pomiń ignorera ignorer glöm glem bortse"),
        r"\b[^.\n]{0,40}?(?:instrukcj|poleceni|zasad|wytyczn|instruktion|instruks|anvisning|regler)",
    ),
    (
        *(
            3,
            DROPS,
            "игнорируй игнорируйте игнорировать проигнорируй проигнорируйте забудь забудьте ігноруй ігноруйте",
        ),
        r"\b[^.\n]{0,40}?(?:инструкци|указани|правил|команд|приказ|сказанн|інструкці|вказівк)",
    ),
    (*(3, DROPS, "تجاهل انس"), r"\b[^.\n]{0,40}?(?:تعليمات|الأوامر|القواعد|التوجيهات)"),
    (*(3, DROPS, "abaikan lupakan bỏ phớt"), r"\b[^.\n]{0,40}?(?:instruksi|perintah|aturan|hướng dẫn|chỉ thị|lệnh)"),
    (
        *(2, SENDS, "sende sendet senden schick schicke schicken leite übermittle envoie envoyez envoyer transmets"),
        rf"\b[^\n]{{0,120}}?{PLACE}",
    ),
    (
        *(2, SENDS, "transmettez envía envíe envia envie reenvía manda invia inoltra encaminhe stuur wyślij prześlij"),
        rf"\b[^\n]{{0,120}}?{PLACE}",
    ),
    (*(2, SENDS, "отправь отправьте перешли перешлите"), rf"\b[^\n]{{0,120}}?{PLACE}"),
    (*(2, SPEAKS, "ki sprachmodell sprachmodelle ии нейросеть"), r"\b"),
    (
        *(2, SPEAKS, "assistant assistants modèle agent asistente agente modelo assistente"),
        r"s? (?:de |di |d[’'])?ia\b",
    ),
    (
        *(2, SPEAKS, "du tu ahora ora agora теперь"),
        r" (?:bist (?:jetzt|nun|ab)|es (?:maintenant|désormais)|eres|sei|você é|ты)\b",
    ),
    (
        *(2, KEEPS, "ohne sage sag informiere erwähne ne sans no sin non senza não sem не"),
        r"\b[^.\n]{0,40}?(?:\b(?:dem|den|des) (?:be)?nutzer|l[’']utilisateur|al usuario|l[’']utente"
        r"|\bao? usuário|пользовател)",
    ),
    (
        1,
        "speaks of duty",
        "musst müsst sollst müssen dois devez debes debe devi deve deves musisz должен должна",
        r"\b",
    ),
    (
        *(3, DROPS, "ignorer oublier ignorar olvidar ignorare dimenticare esquecer игнорировать"),
        r"\b[^.;\n]{0,40}?\b(?:instruction|consigne|règle|directive|instrucci|orden|regla|istruzion|regol|instruç|regra"
        r"|ordens|инструкц|правил)\w* (?:\w+ )?(?:précédent|ci-dessus|anterior|preceden|выше)",
    ),
)

BY_MARK: Final[tuple[Cue, ...]] = (
    (
        *(3, DROPS, "talimat kural komut yönerge"),
        r"(?:talimat|kural|komut|yönerge)\w*[^.\n]{0,30}?(?:yok ?say|göz ardı|unut\b|görmezden)",
    ),
    (
        *(3, DROPS, "忽略 无视 忘记 忘掉 不要理会 不要遵守 忽視 無視 忘記"),
        r"(?:忽略|无视|忘记|忘掉|不要理会|不要遵守|忽視|無視|忘記)[^。\n]{0,16}?(?:指令|指示|提示|规则|規則|要求|命令|内容)",
    ),
    (*(3, DROPS, "無視 忘れ 従わな"), r"(?:指示|命令|プロンプト|ルール|規則)[^。\n]{0,12}?(?:無視|忘れ|従わな)"),
    (*(3, DROPS, "무시 잊"), r"(?:지시|명령|지침|규칙|프롬프트)[^.\n]{0,12}?(?:무시|잊)"),
    (
        *(3, DROPS, "निर्देश आदेश नियम"),
        r"(?:निर्देश|आदेश|नियम)\S*[^।\n]{0,25}?(?:अनदेखा|नज़रअंदाज़|नजरअंदाज|भूल"
        r"|उपेक्षा)",
    ),
    (
        *(2, SENDS, "发送 转发 送信 転送 보내"),
        rf"(?:发送|转发|送信|転送|보내)[^\n]{{0,120}}?{PLACE}|{PLACE}[^\n]{{0,60}}?(?:发送|转发|送信|転送|보내)",
    ),
    (
        3,
        ROLE,
        "从现在开始 从现在起 從現在開始 今から",
        r"(?:从现在开始|从现在起|從現在開始|今から)[^。\n]{0,12}(?:你|あなた)",
    ),
    (
        2,
        SPEAKS,
        "人工智能 AI助手 AIアシスタント 语言模型 你现在是 あなたは今",
        "人工智能|AI ?助手|AI ?アシスタント|语言模型|你现在是|あなたは今",
    ),
    (2, KEEPS, "不要告诉 別告訴 ユーザーに", r"不要告诉|別告訴|ユーザーに[^。]{0,10}(?:言わ|伝え|知らせ)ない"),
)
