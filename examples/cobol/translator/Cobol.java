import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.time.LocalDate;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.BooleanSupplier;

/**
 * What a translated program stands on: items with a PICTURE, and the verbs that Java has no word for.
 *
 * <p>An item is a part of the memory of its record, so that groups, REDEFINES and reference modification are what they
 * are in COBOL; values are BigDecimal and String.
 */
abstract class Cobol {
    static final BigDecimal ZERO = BigDecimal.ZERO;
    static final BigDecimal ONE = BigDecimal.ONE;

    /** How a number is kept. */
    enum Usage { DISPLAY, LEADING, LEADING_SEPARATE, TRAILING_SEPARATE, BINARY, NATIVE, PACKED }

    /** What becomes of digits that a receiver has no place for. */
    enum Rounding { TRUNCATION, AWAY_FROM_ZERO, NEAREST_AWAY, NEAREST_EVEN, NEAREST_TOWARD_ZERO, GREATER, LESSER }

    /** The end of the run. */
    static final class Stop extends RuntimeException {
        final int code;

        Stop(int code) {
            super(null, null, false, false);
            this.code = code;
        }
    }

    /** Between whole digits and decimals, where numbers are shown. */
    static char point = '.';

    final Num returnCode = num("S9(9)", Usage.NATIVE);
    private final InputStream in = new BufferedInputStream(System.in);
    private final PrintStream out = new PrintStream(new BufferedOutputStream(System.out), false);

    private final List<Sequence> files = new ArrayList<>();

    /** Runs the program from its first paragraph to its end. */
    abstract void run();

    /** Runs the paragraph with this number; only programs with GO TO number theirs. */
    void paragraph(int number) {
        throw new UnsupportedOperationException("paragraph " + number);
    }

    /** GO TO: on with the paragraph of this number. */
    static final class Jump extends RuntimeException {
        final int target;

        Jump(int target) {
            super(null, null, false, false);
            this.target = target;
        }
    }

    /** Runs paragraphs in turn, and where a jump leads, up to the end of the last one. */
    final void perform(int first, int last) {
        for (int at = first;; at++) {
            try {
                paragraph(at);
            } catch (Jump jump) {
                at = jump.target - 1;
                continue;
            }
            if (at == last) {
                return;
            }
            if (at > lastParagraph()) {
                throw stop();
            }
        }
    }

    int lastParagraph() {
        return Integer.MAX_VALUE;
    }

    final void start() {
        int code;
        try {
            run();
            code = returnCode.get().intValue();
        } catch (Stop stop) {
            code = stop.code;
        }
        files.forEach(Sequence::closed);
        out.flush();
        System.exit(code & 0xFF);
    }

    final Stop stop() {
        return new Stop(returnCode.get().intValue());
    }

    /** An item that is a record by itself. */
    static Num num(String picture, Usage usage) {
        return new Group(32).num(0, picture, usage);
    }

    static Num num(String picture) {
        return num(picture, Usage.DISPLAY);
    }

    static Text text(int size) {
        return new Group(size).text(0, size);
    }

    static Edited edited(String picture) {
        return new Group(picture.length()).edited(0, picture);
    }

    /** An index of a table. */
    static Num index() {
        return num("S9(9)", Usage.NATIVE).value("1");
    }

    // Items

    /** A named part of a record. */
    abstract static class Item {
        final byte[] memory;
        final int at;
        final int size;
        /** Pairs of count and distance, of each OCCURS, the outer first. */
        int[] tables = {};

        Item(byte[] memory, int at, int size) {
            this.memory = memory;
            this.at = at;
            this.size = size;
        }

        /** What MOVE does, by what both are. */
        abstract void move(Item from);

        /** What DISPLAY shows. */
        String shown() {
            return text();
        }

        final void move(String text) {
            move(new Text(text));
        }

        final void move(long number) {
            move(new Num(number));
        }

        final void move(BigDecimal number) {
            move(new Num(number));
        }

        /** MOVE ALL, or a figurative constant: the text again and again. */
        void fill(String text) {
            byte[] raw = bytes(text);
            for (int i = 0; i < size; i++) {
                memory[at + i] = raw[i % raw.length];
            }
        }

        /** The same memory, to be given a meaning that sets nothing. */
        final Group over() {
            return new Group(memory, at, size, false);
        }

        final String text() {
            return new String(memory, at, size, StandardCharsets.ISO_8859_1);
        }

        /** Reference modification; a length of 0 is all the rest. */
        final Text part(int first, int length) {
            int wanted = length == 0 ? size - first + 1 : length;
            if (first < 1 || wanted < 1 || first - 1 + wanted > size) {
                throw new IllegalArgumentException("a part (" + first + ":" + length + ") of " + size + " bytes");
            }
            return new Text(memory, at + first - 1, wanted);
        }

        final Text part(int first) {
            return part(first, 0);
        }

        final void put(String text) {
            byte[] raw = bytes(text);
            System.arraycopy(raw, 0, memory, at, Math.min(size, raw.length));
            if (raw.length < size) {
                Arrays.fill(memory, at + raw.length, at + size, (byte) ' ');
            }
        }

        final int place(int... subscripts) {
            int place = at;
            for (int i = 0; i < subscripts.length; i++) {
                place += (subscripts[i] - 1) * tables[2 * i + 1];
            }
            if (place < 0 || place + size > memory.length) {
                throw new IndexOutOfBoundsException("subscript " + Arrays.toString(subscripts));
            }
            return place;
        }

        /** All places of an item of a table. */
        final int[] places() {
            int[] found = {at};
            for (int table = 0; table < tables.length; table += 2) {
                int[] more = new int[found.length * tables[table]];
                for (int i = 0; i < more.length; i++) {
                    more[i] = found[i / tables[table]] + i % tables[table] * tables[table + 1];
                }
                found = more;
            }
            return found;
        }
    }

    /** Characters: PIC X or A. */
    static class Text extends Item {
        private boolean right;

        Text(byte[] memory, int at, int size) {
            super(memory, at, size);
        }

        Text(String text) {
            this(bytes(text), 0, text.length());
        }

        Text right() {
            right = true;
            return this;
        }

        Text occurs(int count, int distance) {
            tables = more(tables, count, distance);
            return this;
        }

        Text at(int... subscripts) {
            Text found = new Text(memory, place(subscripts), size);
            found.right = right;
            return found;
        }

        /** VALUE of a figurative constant, or ALL of a text. */
        Text filled(String text) {
            for (int place : places()) {
                new Text(memory, place, size).fill(text);
            }
            return this;
        }

        Text value(String text) {
            for (int place : places()) {
                new Text(memory, place, size).put(text);
            }
            return this;
        }

        @Override
        void move(Item from) {
            String text = from instanceof Num number ? number.digits() : from.text();
            if (right) {
                text = text.length() > size ? text.substring(text.length() - size) : " ".repeat(size - text.length()) + text;
            }
            put(text);
        }
    }

    /** A record, or a group in it. */
    static final class Group extends Text {
        private final boolean fresh;

        Group(int size) {
            this(new byte[size], 0, size, true);
            Arrays.fill(memory, (byte) ' ');
        }

        private Group(byte[] memory, int at, int size, boolean fresh) {
            super(memory, at, size);
            this.fresh = fresh;
        }

        Group group(int offset, int size) {
            return new Group(memory, at + offset, size, fresh);
        }

        Text text(int offset, int size) {
            return new Text(memory, at + offset, size);
        }

        Num num(int offset, String picture, Usage usage) {
            return new Num(picture, usage, memory, at + offset).zero(fresh);
        }

        Num num(int offset, String picture) {
            return num(offset, picture, Usage.DISPLAY);
        }

        Edited edited(int offset, String picture) {
            return new Edited(picture, memory, at + offset).zero(fresh);
        }

        @Override
        Group occurs(int count, int distance) {
            super.occurs(count, distance);
            return this;
        }

        @Override
        Group filled(String text) {
            super.filled(text);
            return this;
        }

        @Override
        Group value(String text) {
            super.value(text);
            return this;
        }

        @Override
        Group at(int... subscripts) {
            return new Group(memory, place(subscripts), size, false);
        }

        @Override
        void move(Item from) {
            put(from.text());
        }
    }

    /** A number, with as many digits as its picture has. */
    static final class Num extends Item {
        final Usage usage;
        final int digits;
        final int scale;
        final boolean signed;
        /** Whether more digits than the picture has are lost; else more than its bytes hold. */
        private final boolean truncates;

        Num(String picture, Usage usage, byte[] memory, int at) {
            this(count(picture, "9"), decimals(picture), picture.startsWith("S"), usage, memory, at);
        }

        private Num(int digits, int scale, boolean signed, Usage usage, byte[] memory, int at) {
            super(memory, at, sizeOf(digits, usage));
            this.digits = digits;
            this.scale = scale;
            this.signed = signed;
            this.usage = usage;
            this.truncates = usage != Usage.NATIVE;
        }

        Num(long number) {
            this(BigDecimal.valueOf(number));
        }

        Num(BigDecimal number) {
            this(Math.max(number.precision(), number.scale()), number.scale(), true, Usage.DISPLAY, new byte[64], 0);
            write(number.signum() < 0, number.unscaledValue().abs());
        }

        private static int sizeOf(int digits, Usage usage) {
            return switch (usage) {
                case DISPLAY, LEADING -> digits;
                case LEADING_SEPARATE, TRAILING_SEPARATE -> digits + 1;
                case PACKED -> digits / 2 + 1;
                case BINARY, NATIVE -> digits < 3 ? 1 : digits < 5 ? 2 : digits < 10 ? 4 : 8;
            };
        }

        Num zero(boolean wanted) {
            if (wanted) {
                write(false, BigInteger.ZERO);
            }
            return this;
        }

        Num occurs(int count, int distance) {
            tables = more(tables, count, distance);
            int[] places = places();
            for (int place : places) {
                System.arraycopy(memory, at, memory, place, size);
            }
            return this;
        }

        Num at(int... subscripts) {
            Num found = new Num(digits, scale, signed, usage, memory, place(subscripts));
            return found;
        }

        Num value(String number) {
            for (int place : places()) {
                Num one = new Num(digits, scale, signed, usage, memory, place);
                one.set(new BigDecimal(number));
            }
            return this;
        }

        BigDecimal get() {
            return new BigDecimal(isNegative() ? magnitude().negate() : magnitude(), scale);
        }

        int toInt() {
            return get().intValue();
        }

        /** Stores what an expression gives; digits that have no place are lost. */
        void set(BigDecimal value) {
            set(value, Rounding.TRUNCATION);
        }

        void set(BigDecimal value, Rounding rounding) {
            BigDecimal fitted = round(value, scale, rounding);
            write(fitted.signum() < 0, fitted.unscaledValue().abs());
        }

        /** Stores what an expression gives if it has a place; tells whether. */
        boolean fits(BigDecimal value, Rounding rounding) {
            BigDecimal fitted = round(value, scale, rounding);
            BigInteger magnitude = fitted.unscaledValue().abs();
            boolean fits = truncates
                ? magnitude.compareTo(BigInteger.TEN.pow(digits)) < 0
                : magnitude.bitLength() <= size * 8 - (signed ? 1 : 0);
            if (fits) {
                write(fitted.signum() < 0, magnitude);
            }
            return fits;
        }

        void add(BigDecimal value) {
            set(get().add(value));
        }

        void add(long value) {
            add(BigDecimal.valueOf(value));
        }

        @Override
        void move(Item from) {
            if (from instanceof Num number) {
                // Between binary and packed numbers there is no zero with a sign.
                boolean signedZero = number.usage.compareTo(Usage.BINARY) < 0 || usage.compareTo(Usage.BINARY) < 0;
                BigInteger cut = new BigDecimal(number.magnitude(), number.scale)
                    .setScale(scale, java.math.RoundingMode.DOWN).unscaledValue();
                write(number.isNegative() && (signedZero || cut.signum() != 0), cut);
            } else if (from instanceof Edited) {
                throw new UnsupportedOperationException("MOVE of an edited item to a number");
            } else if (usage.compareTo(Usage.BINARY) < 0) {
                read(from.text(), digits - scale, scale);
            } else {
                Num wide = new Num(76, 38, true, Usage.DISPLAY, new byte[76], 0);
                wide.read(from.text(), 38, 38);
                move(wide);
            }
        }

        @Override
        void fill(String text) {
            if (text.equals("0")) {
                write(false, BigInteger.ZERO);
            } else {
                super.fill(text);
            }
        }

        /** Takes a number that is written out, as ACCEPT and MOVE do; what is none is zero. */
        private void read(String text, int wholes, int decimals) {
            int start = 0;
            while (start < text.length() && isSpace(text.charAt(start))) {
                start++;
            }
            String rest = text.substring(start);
            boolean negative = rest.startsWith("-");
            rest = negative || rest.startsWith("+") ? rest.substring(1) : rest;
            int point = rest.indexOf('.');
            long given = rest.substring(0, point < 0 ? rest.length() : point).chars().filter(Cobol::isDigit).count();
            int next = 0;
            for (long over = given - wholes; over > 0; over--) {
                while (!isDigit(rest.charAt(next++))) { }
            }
            StringBuilder found = new StringBuilder("0".repeat((int) Math.max(0, wholes - given)));
            int points = 0;
            for (; next < rest.length() && found.length() < wholes + decimals; next++) {
                char sign = rest.charAt(next);
                if (isDigit(sign)) {
                    found.append(sign);
                } else if (!(sign == '.' ? points++ == 0 : sign == ',' || isSpace(sign))) {
                    write(false, BigInteger.ZERO);
                    return;
                }
            }
            found.append("0".repeat(wholes + decimals - found.length()));
            write(negative, new BigInteger("0" + found));
        }

        boolean isNegative() {
            if (!signed) {
                return false;
            }
            return switch (usage) {
                case DISPLAY -> (memory[at + size - 1] & 0x40) != 0;
                case LEADING -> (memory[at] & 0x40) != 0;
                case LEADING_SEPARATE -> memory[at] == '-';
                case TRAILING_SEPARATE -> memory[at + size - 1] == '-';
                case PACKED -> (memory[at + size - 1] & 0x0F) == 0x0D;
                case BINARY, NATIVE -> binary().signum() < 0;
            };
        }

        /** Its digits, without a sign. */
        String digits() {
            String all = "0".repeat(digits) + magnitude();
            return all.substring(all.length() - digits);
        }

        BigInteger magnitude() {
            if (usage == Usage.BINARY || usage == Usage.NATIVE) {
                return binary().abs();
            }
            StringBuilder found = new StringBuilder();
            if (usage == Usage.PACKED) {
                for (int i = 0; i < size * 2 - 1; i++) {
                    found.append(memory[at + i / 2] >> (i % 2 == 0 ? 4 : 0) & 0x0F);
                }
                return new BigInteger(found.toString());
            }
            int first = at + (usage == Usage.LEADING_SEPARATE ? 1 : 0);
            for (int i = first; i < first + digits; i++) {
                boolean carries = signed && (i == at && usage == Usage.LEADING || i == at + size - 1 && usage == Usage.DISPLAY);
                int digit = (carries ? memory[i] & ~0x40 : memory[i]) - '0';
                if (digit < 0 || digit > 9) {
                    throw new IllegalStateException("there are no digits in " + text());
                }
                found.append(digit);
            }
            return new BigInteger(found.toString());
        }

        private BigInteger binary() {
            byte[] raw = Arrays.copyOfRange(memory, at, at + size);
            return signed ? new BigInteger(usage == Usage.NATIVE ? reversed(raw) : raw)
                : new BigInteger(1, usage == Usage.NATIVE ? reversed(raw) : raw);
        }

        private void write(boolean negative, BigInteger magnitude) {
            BigInteger kept = truncates ? magnitude.mod(BigInteger.TEN.pow(digits)) : magnitude;
            if (usage == Usage.BINARY || usage == Usage.NATIVE) {
                BigInteger value = negative && signed ? kept.negate() : kept;
                byte[] raw = new byte[size];
                for (int i = 0; i < size; i++) {
                    raw[size - 1 - i] = value.shiftRight(8 * i).byteValue();
                }
                System.arraycopy(usage == Usage.NATIVE ? reversed(raw) : raw, 0, memory, at, size);
                return;
            }
            String all = "0".repeat(digits) + kept;
            String text = all.substring(all.length() - digits);
            if (usage == Usage.PACKED) {
                String nibbles = (digits % 2 == 0 ? "0" : "") + text + (!signed ? "f" : negative ? "d" : "c");
                System.arraycopy(new BigInteger("1" + nibbles, 16).toByteArray(), 1, memory, at, size);
                return;
            }
            boolean leads = usage == Usage.LEADING_SEPARATE;
            System.arraycopy(bytes(text), 0, memory, at + (leads ? 1 : 0), digits);
            if (leads || usage == Usage.TRAILING_SEPARATE) {
                memory[leads ? at : at + digits] = (byte) (negative && signed ? '-' : '+');
            } else if (negative && signed) {
                memory[usage == Usage.LEADING ? at : at + size - 1] |= 0x40;
            }
        }

        @Override
        String shown() {
            String sign = !signed ? "" : get().signum() < 0 ? "-" : "+";
            if (usage == Usage.NATIVE) {
                String all = magnitude().toString();
                int width = size == 1 ? 3 : size == 2 ? 5 : size == 4 ? 10 : 20;
                return sign + "0".repeat(Math.max(0, width - all.length())) + all;
            }
            String all = digits();
            String shown = scale > 0 ? all.substring(0, digits - scale) + point + all.substring(digits - scale) : all;
            return usage == Usage.TRAILING_SEPARATE ? shown + sign : sign + shown;
        }
    }

    /** A number as people read it; nothing is computed with it. */
    static final class Edited extends Item {
        private final String picture;
        private boolean blank;

        Edited(String picture, byte[] memory, int at) {
            super(memory, at, picture.length());
            this.picture = picture;
        }

        Edited blankWhenZero() {
            blank = true;
            return this;
        }

        Edited zero(boolean wanted) {
            if (wanted) {
                move(0);
            }
            return this;
        }

        Edited occurs(int count, int distance) {
            tables = more(tables, count, distance);
            for (int place : places()) {
                System.arraycopy(memory, at, memory, place, size);
            }
            return this;
        }

        Edited at(int... subscripts) {
            Edited found = new Edited(picture, memory, place(subscripts));
            found.blank = blank;
            return found;
        }

        Edited value(String text) {
            for (int place : places()) {
                new Edited(picture, memory, place).put(text);
            }
            return this;
        }

        void set(BigDecimal value, Rounding rounding) {
            int scale = decimals(picture);
            BigDecimal fitted = round(value, scale, rounding);
            int digits = capacity();
            Num number = new Num(digits, scale, true, Usage.DISPLAY, new byte[digits], 0);
            number.write(fitted.signum() < 0, fitted.unscaledValue().abs());
            move(number);
        }

        boolean fits(BigDecimal value, Rounding rounding) {
            BigInteger magnitude = round(value, decimals(picture), rounding).unscaledValue().abs();
            boolean fits = magnitude.compareTo(BigInteger.TEN.pow(capacity())) < 0;
            if (fits) {
                set(value, rounding);
            }
            return fits;
        }

        /** Digits that it has places for: of a floating sign or currency the first is none. */
        private int capacity() {
            int places = count(picture, "9Z*");
            for (char sign : "+-$".toCharArray()) {
                places += Math.max(0, count(picture, String.valueOf(sign)) - 1);
            }
            return places;
        }

        @Override
        void move(Item from) {
            Num number;
            if (from instanceof Num given) {
                number = given;
            } else if (from instanceof Edited) {
                throw new UnsupportedOperationException("MOVE of an edited item to another");
            } else {
                number = new Num(76, 38, true, Usage.DISPLAY, new byte[76], 0);
                number.move(from);
            }
            put(edit(number));
        }

        @Override
        void fill(String text) {
            if (text.equals("0")) {
                move(0);
            } else {
                super.fill(text);
            }
        }

        private String edit(Num number) {
            char[] shown = picture.toCharArray();
            boolean hasPoint = picture.indexOf('.') >= 0;
            String before = hasPoint ? picture.substring(0, picture.indexOf('.')) : picture;
            String lead = before.replaceFirst("[9Z*].*", "");
            // A sign or currency in front takes a digit too, which should be a zero; one behind looks at the next.
            int whole = count(before, "9Z*") + count(lead, "+-$");
            int behind = decimals(picture);
            String digits = "0".repeat(whole + 40) + number.magnitude();
            int end = digits.length() - number.scale;
            digits = digits.substring(end - whole, end)
                + (digits.substring(end) + "0".repeat(behind + 1)).substring(0, behind + 1);
            boolean looks = picture.matches(".*[^+-][+-]") && !isFloating(picture.charAt(picture.length() - 1));
            boolean zero = digits.substring(0, whole + behind + (looks ? 1 : 0)).chars().allMatch(digit -> digit == '0');
            char pad = picture.indexOf('*') >= 0 ? '*' : ' ';
            char mark = zero || !number.isNegative() ? ' ' : '-';
            boolean suppressed = true;
            int next = 0;
            int place = -1;
            for (int i = 0; i < shown.length; i++) {
                char symbol = picture.charAt(i);
                boolean floats = isFloating(symbol);
                if (symbol == '9' || symbol == 'Z' || symbol == '*' || floats) {
                    char digit = digits.charAt(next++);
                    suppressed &= digit == '0' && symbol != '9';
                    boolean first = floats && picture.indexOf(symbol) == i;
                    shown[i] = first || suppressed ? pad : digit;
                    place = floats && shown[i] == pad && (first || suppressed) ? i : place;
                } else if (symbol == ',' || symbol == 'B' || symbol == '/' || symbol == '0') {
                    shown[i] = symbol == '/' || symbol == '0' ? symbol : suppressed ? pad : symbol == 'B' ? ' ' : symbol;
                    place = suppressed && place >= 0 && shown[i] == pad ? i : place;
                } else if (symbol == '$') {
                    suppressed &= digits.charAt(next++) == '0';
                } else if (symbol == '+' || symbol == '-') {
                    suppressed &= digits.charAt(next++) == '0';
                    shown[i] = mark == '-' ? '-' : symbol == '+' ? '+' : ' ';
                } else if (symbol == 'C' || symbol == 'D') {
                    shown[i] = mark == '-' ? symbol : ' ';
                    shown[i + 1] = mark == '-' ? picture.charAt(i + 1) : ' ';
                    i++;
                } else if (symbol == '.') {
                    shown[i] = '.';
                }
            }
            if (suppressed && next > 0 || zero && blank) {
                boolean stars = pad == '*' && !blank;
                char[] all = new char[shown.length];
                Arrays.fill(all, stars ? '*' : ' ');
                if (stars && hasPoint) {
                    all[picture.indexOf('.')] = '.';
                }
                return new String(all);
            }
            for (int i = hasPoint ? picture.indexOf('.') + 1 : shown.length; i < shown.length; i++) {
                shown[i] = "9Z*+-$".indexOf(picture.charAt(i)) >= 0 && shown[i] == pad && !isTrailing(i) ? '0' : shown[i];
            }
            if (place >= 0) {
                char symbol = isFloating('$') ? '$' : isFloating('+') ? '+' : '-';
                shown[place] = symbol == '$' ? '$' : mark == '-' ? '-' : symbol == '+' ? '+' : ' ';
            }
            return new String(shown);
        }

        private boolean isTrailing(int i) {
            char symbol = picture.charAt(i);
            return (symbol == '+' || symbol == '-') && !isFloating(symbol);
        }

        private boolean isFloating(char symbol) {
            return "+-$".indexOf(symbol) >= 0 && count(picture, String.valueOf(symbol)) > 1;
        }
    }

    // Arithmetic

    static BigDecimal big(long number) {
        return BigDecimal.valueOf(number);
    }

    static BigDecimal big(String number) {
        return new BigDecimal(number);
    }

    /** A quotient with 38 digits more than its operands; ArithmeticException if there is none. */
    static BigDecimal divide(BigDecimal dividend, BigDecimal divisor) {
        if (divisor.signum() == 0) {
            throw new ArithmeticException("division by zero");
        }
        if (dividend.signum() == 0) {
            return ZERO;
        }
        int scale = dividend.scale() - divisor.scale();
        int more = 38 + Math.max(0, -scale);
        BigInteger wide = dividend.unscaledValue().multiply(BigInteger.TEN.pow(more));
        return new BigDecimal(wide.divide(divisor.unscaledValue()), scale + more);
    }

    static BigDecimal power(BigDecimal base, int exponent) {
        return base.pow(exponent);
    }

    /** Whether all results had a place; a division by zero has none. */
    static boolean fits(BooleanSupplier results) {
        try {
            return results.getAsBoolean();
        } catch (ArithmeticException noQuotient) {
            return false;
        }
    }

    static BigDecimal round(BigDecimal value, int scale, Rounding rounding) {
        java.math.RoundingMode mode = switch (rounding) {
            case TRUNCATION -> java.math.RoundingMode.DOWN;
            case AWAY_FROM_ZERO -> java.math.RoundingMode.UP;
            case NEAREST_AWAY -> java.math.RoundingMode.HALF_UP;
            case NEAREST_EVEN -> java.math.RoundingMode.HALF_EVEN;
            case NEAREST_TOWARD_ZERO -> java.math.RoundingMode.HALF_DOWN;
            case GREATER -> java.math.RoundingMode.CEILING;
            case LESSER -> java.math.RoundingMode.FLOOR;
        };
        return value.setScale(scale, mode);
    }

    // Comparing

    static int compare(Item one, Item other) {
        if (one instanceof Num number && other instanceof Num with) {
            return number.get().compareTo(with.get());
        }
        String first = one instanceof Num number ? number.digits() : one.text();
        String second = other instanceof Num number ? number.digits() : other.text();
        int size = Math.max(first.length(), second.length());
        return padded(first, size).compareTo(padded(second, size));
    }

    static int compare(Item one, String other) {
        return compare(one, new Text(other));
    }

    /** With a figurative constant, or ALL of a text, as long as the item is. */
    static int compareAll(Item one, String all) {
        if (one instanceof Num number && all.equals("0")) {
            return number.get().signum();
        }
        String text = one instanceof Num number ? number.digits() : one.text();
        return text.compareTo(all.repeat(text.length() / all.length() + 1).substring(0, text.length()));
    }

    static boolean isNumeric(Item item) {
        return item.text().chars().allMatch(Cobol::isDigit);
    }

    static boolean isAlphabetic(Item item) {
        return item.text().chars().allMatch(sign -> sign == ' ' || sign >= 'A' && sign <= 'Z' || sign >= 'a' && sign <= 'z');
    }

    // Talking

    final void display(Object... parts) {
        print(out, parts);
        print(out, "\n");
    }

    /** DISPLAY ... WITH NO ADVANCING. */
    final void show(Object... parts) {
        print(out, parts);
    }

    final void complain(Object... parts) {
        print(System.err, parts);
        print(System.err, "\n");
    }

    private static void print(PrintStream stream, Object... parts) {
        for (Object part : parts) {
            byte[] raw = bytes(part instanceof Item item ? item.shown() : part.toString());
            stream.write(raw, 0, raw.length);
        }
    }

    /** ACCEPT: one line of standard input. */
    final void accept(Item into) {
        StringBuilder line = new StringBuilder();
        try {
            int sign;
            while (line.length() < 8191 && (sign = in.read()) != '\n') {
                if (sign < 0) {
                    line.append(line.length() == 0 ? " " : "");
                    break;
                }
                line.append((char) sign);
            }
        } catch (IOException broken) {
            throw new java.io.UncheckedIOException(broken);
        }
        String text = line.length() == 0 ? " " : line.toString();
        boolean isShort = into instanceof Num number && number.usage.compareTo(Usage.BINARY) < 0;
        into.move(isShort && text.length() > into.size ? text.substring(0, into.size) : text);
    }

    static String today(String pattern) {
        return LocalDate.now().format(DateTimeFormatter.ofPattern(pattern));
    }

    // Files

    /** A file that is read or written from its beginning to its end. */
    final class Sequence {
        private final String path;
        private final Item area;
        private final boolean lines;
        private final Text status;
        private InputStream input;
        private OutputStream output;
        private boolean ended;
        private boolean atEnd;

        Sequence(String path, Item area, boolean lines, Text status) {
            this.path = path;
            this.area = area;
            this.lines = lines;
            this.status = status;
            files.add(this);
        }

        void openInput() {
            open(() -> input = new BufferedInputStream(new FileInputStream(path)));
        }

        void openOutput() {
            open(() -> output = new BufferedOutputStream(new FileOutputStream(path)));
        }

        void openExtend() {
            open(() -> {
                if (!new File(path).exists()) {
                    throw new FileNotFoundException(path);
                }
                output = new BufferedOutputStream(new FileOutputStream(path, true));
            });
        }

        private void open(Opening opening) {
            if (input != null || output != null) {
                tell("41", false);
                return;
            }
            try {
                opening.open();
                ended = false;
                tell("00", false);
            } catch (FileNotFoundException missing) {
                tell(new File(path).isDirectory() ? "37" : "35", false);
            } catch (IOException broken) {
                tell("30", false);
            }
        }

        /** READ; tells whether there was a record. `handled`: the program says what to do at the end. */
        boolean read(boolean handled) {
            atEnd = false;
            if (input == null || ended) {
                tell(input == null ? "47" : "46", false);
                return false;
            }
            try {
                int taken = lines ? readLine() : readRecord();
                ended = taken < 0;
                atEnd = ended;
                tell(ended ? "10" : !lines && taken < area.size ? "04" : "00", handled);
                return !ended;
            } catch (IOException broken) {
                tell("30", false);
                return false;
            }
        }

        /** Whether the last READ came to the end. */
        boolean atEnd() {
            return atEnd;
        }

        private int readRecord() throws IOException {
            byte[] raw = input.readNBytes(area.size);
            System.arraycopy(raw, 0, area.memory, area.at, raw.length);
            return raw.length == 0 ? -1 : raw.length;
        }

        private int readLine() throws IOException {
            StringBuilder line = new StringBuilder();
            int sign;
            while ((sign = input.read()) != '\n') {
                if (sign < 0 && line.length() == 0) {
                    return -1;
                } else if (sign < 0) {
                    break;
                } else if (sign != '\r') {
                    line.append((char) sign);
                }
            }
            area.put(line.toString());
            return line.length();
        }

        void write(Item record) {
            if (output == null) {
                tell("48", false);
                return;
            }
            try {
                String text = record.text();
                output.write(bytes(lines ? text.replaceFirst(" +\\z", "") + "\n" : text));
                tell("00", false);
            } catch (IOException broken) {
                tell("30", false);
            }
        }

        void close() {
            if (input == null && output == null) {
                tell("42", false);
                return;
            }
            tell(closed() ? "00" : "30", false);
        }

        private boolean closed() {
            try {
                if (input != null) {
                    input.close();
                }
                if (output != null) {
                    output.close();
                }
                return true;
            } catch (IOException broken) {
                return false;
            } finally {
                input = null;
                output = null;
            }
        }

        private void tell(String code, boolean handled) {
            if (status != null) {
                status.move(code);
            } else if (code.charAt(0) != '0' && !handled) {
                System.err.println("libcob: error: status " + code + " of the file " + path);
                throw new Stop(1);
            }
        }
    }

    /** What opens a file. */
    private interface Opening {
        void open() throws IOException;
    }

    // Texts

    static Text upper(Item item) {
        return new Text(mapped(item, 'a', 'z', 'A' - 'a'));
    }

    static Text lower(Item item) {
        return new Text(mapped(item, 'A', 'Z', 'a' - 'A'));
    }

    private static String mapped(Item item, char first, char last, int distance) {
        StringBuilder found = new StringBuilder();
        item.text().chars().forEach(sign -> found.append((char) (sign >= first && sign <= last ? sign + distance : sign)));
        return found.toString();
    }

    static Text reverse(Item item) {
        return new Text(new StringBuilder(item.text()).reverse().toString());
    }

    static Text trim(Item item) {
        return trim(trim(item, true), false);
    }

    static Text trim(Item item, boolean trailing) {
        String text = item.text();
        return new Text(trailing ? text.replaceFirst(" +\\z", "") : text.replaceFirst("^ +", ""));
    }

    /** What STRING takes from one sender: all of it, or what stands before a delimiter. */
    record Piece(Item from, Item limit) {
        String text() {
            String all = from instanceof Num number ? number.digits() : from.text();
            int end = limit == null ? -1 : all.indexOf(limit.text());
            return end < 0 ? all : all.substring(0, end);
        }
    }

    /** STRING; tells whether all had a place. */
    static boolean join(Item into, Num pointer, Piece... pieces) {
        int next = pointer == null ? 0 : pointer.toInt() - 1;
        boolean fits = pointer == null || next >= 0 && next < into.size;
        for (int i = 0; fits && i < pieces.length; i++) {
            byte[] raw = bytes(pieces[i].text());
            int taken = Math.min(raw.length, into.size - next);
            System.arraycopy(raw, 0, into.memory, into.at + next, taken);
            next += taken;
            fits = taken == raw.length;
        }
        if (pointer != null) {
            pointer.set(big(next + 1));
        }
        return fits;
    }

    /** A delimiter of UNSTRING; `all` if it counts once where it stands several times. */
    record Limit(Item sign, boolean all) { }

    /** A receiver of UNSTRING, with the items for the delimiter and the length; null for none. */
    record Into(Item item, Item limit, Num count) { }

    /** UNSTRING; tells whether all of the source was taken. */
    static boolean split(Item source, Limit[] limits, Num pointer, Num tally, Into... receivers) {
        String text = source instanceof Num number ? number.digits() : source.text();
        int next = pointer == null ? 0 : pointer.toInt() - 1;
        if (next < 0 || next >= text.length()) {
            return false;
        }
        int filled = 0;
        for (Into receiver : receivers) {
            if (next >= text.length()) {
                break;
            }
            int end = limits.length == 0 ? Math.min(text.length(), next + receiver.item().size) : text.length();
            int behind = end;
            String found = "";
            for (int at = next; limits.length > 0 && found.isEmpty() && at < text.length(); at++) {
                for (Limit limit : limits) {
                    String sign = limit.sign().text();
                    if (text.startsWith(sign, at)) {
                        end = at;
                        found = sign;
                        behind = at + sign.length();
                        while (limit.all() && text.startsWith(sign, behind)) {
                            behind += sign.length();
                        }
                        break;
                    }
                }
            }
            receiver.item().move(new Text(text.substring(next, end)));
            if (receiver.limit() != null) {
                receiver.limit().move(found.isEmpty() ? " " : found);
            }
            if (receiver.count() != null) {
                receiver.count().move(end - next);
            }
            next = behind;
            filled++;
        }
        if (tally != null) {
            tally.add(filled);
        }
        if (pointer != null) {
            pointer.move(next + 1);
        }
        return next >= text.length();
    }

    /** Which of the places INSPECT REPLACING changes. */
    enum How { ALL, LEADING, FIRST }

    /** INSPECT: what one phrase has taken the later ones leave. */
    static final class Inspection {
        private final Item item;
        private final String text;
        private final boolean[] taken;
        private final StringBuilder made;

        Inspection(Item item) {
            this.item = item;
            text = item.text();
            taken = new boolean[text.length()];
            made = new StringBuilder(text);
        }

        /** Counts a pattern, or all characters if it is null. */
        Inspection tally(Num count, Item pattern, boolean leading, Item before, Item after) {
            int found = each(pattern, leading ? How.LEADING : How.ALL, before, after, null);
            count.add(found);
            return this;
        }

        Inspection replace(Item pattern, Item by, How how, Item before, Item after) {
            each(pattern, how, before, after, by.text());
            return this;
        }

        void finish() {
            item.put(made.toString());
        }

        void convert(Item from, Item to, Item before, Item after) {
            String signs = from.text();
            int[] range = range(before, after);
            for (int i = range[0]; i < range[1]; i++) {
                int place = signs.indexOf(text.charAt(i));
                if (place >= 0) {
                    made.setCharAt(i, to.text().charAt(place));
                }
            }
            finish();
        }

        private int each(Item pattern, How how, Item before, Item after, String by) {
            int[] range = range(before, after);
            String sign = pattern == null ? null : pattern.text();
            int length = sign == null ? 1 : sign.length();
            int found = 0;
            for (int i = range[0]; i + length <= range[1]; i++) {
                boolean fits = sign == null || text.startsWith(sign, i);
                boolean free = true;
                for (int j = i; j < i + length; j++) {
                    free &= !taken[j];
                }
                if (fits && free) {
                    Arrays.fill(taken, i, i + length, true);
                    if (by != null) {
                        made.replace(i, i + length, by);
                    }
                    found++;
                    i += length - 1;
                    if (how == How.FIRST) {
                        break;
                    }
                } else if (!fits && how == How.LEADING) {
                    break;
                }
            }
            return found;
        }

        private int[] range(Item before, Item after) {
            int end = text.length();
            int start = 0;
            if (before != null && text.contains(before.text())) {
                end = text.indexOf(before.text());
            }
            if (after != null) {
                int place = text.indexOf(after.text());
                start = place < 0 || place + after.size > end ? end : place + after.size;
            }
            return new int[] {start, end};
        }
    }

    // Small things

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.ISO_8859_1);
    }

    static boolean isDigit(int sign) {
        return sign >= '0' && sign <= '9';
    }

    static boolean isSpace(int sign) {
        return sign == ' ' || sign >= 9 && sign <= 13;
    }

    private static String padded(String text, int size) {
        return text + " ".repeat(size - text.length());
    }

    private static int[] more(int[] tables, int count, int distance) {
        int[] found = Arrays.copyOf(tables, tables.length + 2);
        found[tables.length] = count;
        found[tables.length + 1] = distance;
        return found;
    }

    private static byte[] reversed(byte[] raw) {
        byte[] found = new byte[raw.length];
        for (int i = 0; i < raw.length; i++) {
            found[raw.length - 1 - i] = raw[i];
        }
        return found;
    }

    /** How often a picture has one of these symbols; 9(3) counts three times. */
    static int count(String picture, String symbols) {
        int found = 0;
        for (int i = 0; i < picture.length(); i++) {
            int open = i + 1 < picture.length() && picture.charAt(i + 1) == '(' ? i + 1 : -1;
            int times = open < 0 ? 1 : Integer.parseInt(picture.substring(open + 1, picture.indexOf(')', open)));
            found += symbols.indexOf(picture.charAt(i)) >= 0 ? times : 0;
            i = open < 0 ? i : picture.indexOf(')', open);
        }
        return found;
    }

    /** Digits behind the point. */
    static int decimals(String picture) {
        int point = Math.max(picture.indexOf('V'), picture.indexOf('.'));
        return point < 0 ? 0 : count(picture.substring(point), "9Z*+-$") - (picture.matches(".*[^+-][+-]") ? 1 : 0);
    }
}
